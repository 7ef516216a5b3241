package dynamotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
)

// refuse returns the response of DynamoDB to a request that is not valid.
func refuse(r *http.Request, err error) *http.Response {
	body := fmt.Sprintf(`{"__type":"com.amazon.coral.validate#ValidationException","message":%q}`, err.Error())
	return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// cutPages sends a request that reads at most three items, or answers with an
// empty page that ends where it begins. A batch gets only some of its items.
func cutPages(next http.RoundTripper, r *http.Request, operation string, body []byte) (*http.Response, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, err
	}
	var held map[string]json.RawMessage // RequestItems that are not processed
	switch operation {
	case "Query":
		if start := members["ExclusiveStartKey"]; start != nil && rand.IntN(4) == 0 {
			page := fmt.Sprintf(`{"Items":[],"Count":0,"ScannedCount":0,"LastEvaluatedKey":%s}`, start)
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(page)), Request: r}, nil
		}
		limit := 1 + rand.IntN(3)
		var asked int
		if json.Unmarshal(members["Limit"], &asked) != nil || asked > limit {
			members["Limit"] = fmt.Append(nil, limit)
		}
	case "BatchGetItem":
		var err error
		if members["RequestItems"], held, err = splitBatch(members["RequestItems"]); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	resp, err := next.RoundTrip(r)
	if err != nil || held == nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	answer["UnprocessedKeys"] = held
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	resp.Header.Del("X-Amz-Crc32") // of another body
	resp.ContentLength, resp.Body = int64(len(text)), io.NopCloser(bytes.NewReader(text))
	resp.Header.Set("Content-Length", fmt.Sprint(len(text)))
	return resp, nil
}

// splitBatch moves a random number of keys of each table, but not all, to held.
// held is nil if there are none.
func splitBatch(items json.RawMessage) (rest json.RawMessage, held map[string]json.RawMessage, err error) {
	var tables map[string]map[string]json.RawMessage
	if err := json.Unmarshal(items, &tables); err != nil {
		return nil, nil, err
	}
	for name, table := range tables {
		var keys []json.RawMessage
		if err := json.Unmarshal(table["Keys"], &keys); err != nil {
			return nil, nil, err
		}
		n := 1 + rand.IntN(len(keys))
		if n == len(keys) {
			continue
		}
		if table["Keys"], err = json.Marshal(keys[n:]); err != nil {
			return nil, nil, err
		}
		text, err := json.Marshal(table)
		if err != nil {
			return nil, nil, err
		}
		held = map[string]json.RawMessage{name: text}
		if table["Keys"], err = json.Marshal(keys[:n]); err != nil {
			return nil, nil, err
		}
	}
	rest, err = json.Marshal(tables)
	return rest, held, err
}
