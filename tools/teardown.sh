#!/bin/sh
# Deletes a stage from AWS, after asking. "make teardown" calls it.
set -eu
stack=leads-$STAGE

case $STAGE in
dev)
	echo "This deletes the stack $stack with everything in it: the functions, the address,"
	echo "the logs, the queues, and the table with all its leads and API keys. The bucket for"
	echo "imports must be empty, or the deletion stops at it."
	stays="Only the bucket with the packaged code stays."
	;;
prod)
	echo "This deletes the stack $stack: the functions, the address, the alarms and the logs."
	echo "The table stays, with its leads and API keys, and the bucket for imports; both go on"
	echo "costing their storage. The table is protected until you say otherwise"
	echo "(docs/operations.md)."
	stays="The table and the bucket for imports stay, and the bucket with the packaged code."
	;;
*)
	echo "STAGE is dev or prod, not \"$STAGE\"." >&2
	exit 2
	;;
esac
echo "In either case the bucket with the packaged code stays: other stacks may use it."
printf 'Type %s to go on: ' "$stack"
read -r answer || answer=
if [ "$answer" != "$stack" ]; then
	echo "Nothing was deleted." >&2
	exit 1
fi
$SAM delete --stack-name "$stack" --no-prompts
echo "$stays"
