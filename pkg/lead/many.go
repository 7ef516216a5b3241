package lead

// CreateRequest is one of many leads to be made.
type CreateRequest struct {
	Values Values
	Key    IdempotencyKey
}

// CreateResult is what became of a [Creation]: as the results of [Store].Create.
type CreateResult struct {
	Lead     Lead
	Replayed bool
	Err      error
}
