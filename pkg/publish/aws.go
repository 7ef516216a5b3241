package publish

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"overplane.dev/leads/pkg/awsenv"
	"overplane.dev/leads/pkg/queue"
)

// Open returns the publisher for the environment of a Lambda function. LEADS_BUS
// is the name of the bus and LEADS_DEAD_LETTERS_URL the URL of the dead-letter
// queue; [awsenv.Config] reads the other variables. Open sends no request.
func Open(log *slog.Logger) *Publisher {
	client := eventbridge.NewFromConfig(awsenv.Config("EVENTBRIDGE"))
	queues := sqs.NewFromConfig(awsenv.Config("SQS"))
	return &Publisher{
		Bus:         &bus{client, os.Getenv("LEADS_BUS")},
		DeadLetters: queue.New(queues, os.Getenv("LEADS_DEAD_LETTERS_URL")),
		Log:         log,

		VersionOffset: awsenv.VersionOffset(),
	}
}

// WarmUp sends a request without events, which EventBridge rejects. A Lambda
// function calls it during its init phase, when it has more CPU time than later,
// so that the connection to EventBridge is ready for the first changes. WarmUp
// takes at most a second. It ignores errors, because the first changes report
// them.
func (p *Publisher) WarmUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, _ = p.Bus.Put(ctx, nil)
}

type bus struct {
	client *eventbridge.Client
	name   string
}

// Put implements [Bus].
func (b *bus) Put(ctx context.Context, events []Event) ([]bool, error) {
	entries := []types.PutEventsRequestEntry{} // not nil, which the SDK would not send
	for _, e := range events {
		entries = append(entries, types.PutEventsRequestEntry{
			EventBusName: &b.name,
			Source:       aws.String(Source),
			DetailType:   &e.Type,
			Time:         &e.Time,
			Detail:       aws.String(string(e.Detail)),
		})
	}
	out, err := b.client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries})
	if err != nil {
		return nil, err
	}
	refused := make([]bool, len(events))
	for i := range refused {
		refused[i] = i >= len(out.Entries) || out.Entries[i].EventId == nil
	}
	return refused, nil
}
