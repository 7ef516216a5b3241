# Sends one event of each kind to the stack leads-dev, and checks what results: leads,
# published changes, which a consumer from examples/ receives, and rejected records, of
# which one is corrected and retried. The account main must have no leads.

output() {
	aws cloudformation describe-stacks --stack-name "$1" --output text \
		--query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue"
}

# expect LINES COMMAND: repeats the command until it prints these lines.
expect() {
	for _ in $(seq 60); do
		printed=$("$2")
		[ "$printed" != "$1" ] || return 0
	done
	printf '%s printed\n%s\nwant\n%s\n' "$2" "$printed" "$1"
	return 1
}

names() { grep -o '"lead_name": *"[^"]*"' | cut -d '"' -f 4 | sort -u; }

created() {
	./leads export -account main -mode test main.ndjson 2>/dev/null
	names <main.ndjson
}

published() { # SQS may deliver a message again; names drops the copies
	aws sqs receive-message --queue-url "$changes" --max-number-of-messages 10 --wait-time-seconds 1 \
		--query 'Messages[].Body' --output text >>changes
	names <changes
}

rejected() { ./leads letters list -stack leads-dev | awk 'NR > 1 { print $2 }'; }

echo "== Send one event of each kind"
go build -o leads ./cmd/leads
export LEADS_TABLE="$(output leads-dev TableName)"
sam deploy --template-file examples/rule-to-queue.yaml --stack-name leads-dev-consumer --resolve-s3 --no-progressbar \
	--parameter-overrides BusName=leads-dev Account=main Mode=test >sam.log
changes=$(output leads-dev-consumer QueueUrl)
queue=$(output leads-dev IngestQueueUrl)
set -x
aws sqs send-message --queue-url "$queue" --message-body '{"lead_name":"Ada by SQS","email_id":"ada@example.com"}'
aws sqs send-message --queue-url "$queue" --message-body '{"lead_name":"Ira","email_id":"no address"}'
aws sns publish --topic-arn "$(output leads-dev IngestTopicArn)" --message '{"lead_name":"Bob by SNS"}'
aws events put-events --entries \
	'[{"EventBusName":"leads-dev","Source":"demo","DetailType":"lead.create","Detail":"{\"lead_name\":\"Cy by EventBridge\"}"}]'
printf 'lead_name,annual_revenue\n"Dora, by S3",1200.50\nEli by S3,a lot\nFay by S3,\n' |
	aws s3 cp - "s3://$(output leads-dev ImportBucketName)/demo/March 2026.csv"
aws lambda invoke --function-name "$(output leads-dev IngestFunction)" \
	--payload '{"leads":[{"lead_name":"Gus by a call"},{"lead_name":"Hal by a call"}]}' answer.json
set +x

leads='Ada by SQS
Bob by SNS
Cy by EventBridge
Dora, by S3
Fay by S3
Gus by a call
Hal by a call'
expect "$leads" created
printf 'Leads:\n%s\n' "$leads"
expect "$leads" published
printf 'Changes of them were published. Rejected records:\n'
expect 'DeadLetters
DeadLetters' rejected
for id in $(./leads letters list -stack leads-dev | awk 'NR > 1 { print $1 }'); do
	./leads letters show -stack leads-dev "$id" | tee letter
	if grep -q Ira letter; then
		echo '{"lead_name":"Ira"}' >ira.json
		./leads letters retry -stack leads-dev -body ira.json "$id"
	else
		./leads letters drop -stack leads-dev "$id"
	fi
done
expect '' rejected
expect "$leads
Ira" created
sam delete --stack-name leads-dev-consumer --no-prompts >sam.log
rm -f leads main.ndjson changes letter ira.json answer.json sam.log
