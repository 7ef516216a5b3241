package lead

// Creation is one of many leads to be made.
type Creation struct {
	Values Values
	Once   Once
}

// Outcome is what became of a [Creation]: as the results of [Store].Create.
type Outcome struct {
	Lead     Lead
	Replayed bool
	Err      error
}
