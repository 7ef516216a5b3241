#!/bin/sh
# Deletes a stage from AWS, after asking. "make teardown" calls it.
set -eu
stack=leads-$STAGE

case $STAGE in
dev)
	echo "This deletes the stack $stack with everything in it: the functions, the address,"
	echo "the logs, the queues, and the table with all leads and API keys. The bucket for"
	echo "imports must be empty, else the deletion fails."
	stays="Only the bucket with the packaged code remains."
	;;
prod)
	echo "This deletes the stack $stack: the functions, the address, the alarms and the logs."
	echo "The table with its leads and API keys and the bucket for imports remain, and their"
	echo "storage costs money. The table stays protected from deletion until you change that"
	echo "(docs/operations.md)."
	stays="The table and the bucket for imports remain, and the bucket with the packaged code."
	;;
*)
	echo "STAGE is dev or prod, not \"$STAGE\"." >&2
	exit 2
	;;
esac
echo "The bucket with the packaged code remains too: other stacks may use it."
printf 'Type %s to continue: ' "$stack"
read -r answer || answer=
if [ "$answer" != "$stack" ]; then
	echo "Nothing was deleted." >&2
	exit 1
fi
$SAM delete --stack-name "$stack" --no-prompts
echo "$stays"
