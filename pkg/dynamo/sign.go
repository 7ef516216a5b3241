package dynamo

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A transaction that counts is signed with the time that chose its window (see
// package counter). The SDK would sign with the current time, and correct that
// when DynamoDB refuses it.

type signingTimeKey struct{}

// withSigningTime returns a context whose requests are signed with this time.
func withSigningTime(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, signingTimeKey{}, at)
}

// fixedTimeSigner signs with the time of withSigningTime, if the context has one.
type fixedTimeSigner struct{ dynamodb.HTTPSignerV4 }

// SignHTTP implements [dynamodb.HTTPSignerV4].
func (s fixedTimeSigner) SignHTTP(ctx context.Context, credentials aws.Credentials, r *http.Request, payloadHash, service, region string, signingTime time.Time, options ...func(*v4.SignerOptions)) error {
	if at, ok := ctx.Value(signingTimeKey{}).(time.Time); ok {
		signingTime = at
	}
	return s.HTTPSignerV4.SignHTTP(ctx, credentials, r, payloadHash, service, region, signingTime, options...)
}

// minSkew is the least difference between a signature's time and the Date of the
// answer with which a refused signature counts as late, and not as wrong.
const minSkew = time.Minute

// isSignatureLate reports whether DynamoDB refused a signature because its time
// is too far from the time of DynamoDB.
func isSignatureLate(err error, signed time.Time) bool {
	var apiError smithy.APIError
	date := dateOfError(err)
	return errors.As(err, &apiError) && apiError.ErrorCode() == "InvalidSignatureException" &&
		!date.IsZero() && date.Sub(signed).Abs() > minSkew
}

// dateOfError returns the Date of the answer that an error is, or the zero time.
func dateOfError(err error) time.Time {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.HTTPResponse() == nil {
		return time.Time{}
	}
	date, _ := http.ParseTime(response.HTTPResponse().Header.Get("Date"))
	return date
}
