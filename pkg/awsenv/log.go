package awsenv

import (
	"log/slog"
	"os"
)

// NewLog returns the log of a Lambda function: a line of JSON for each entry on
// the standard output. Each line has the attribute release if LEADS_RELEASE is
// set. Lines below the level AWS_LAMBDA_LOG_LEVEL are left out; Lambda sets this
// variable from the function's configuration. Without it the level is INFO.
func NewLog() *slog.Logger {
	level := new(slog.LevelVar)
	if text := os.Getenv("AWS_LAMBDA_LOG_LEVEL"); text != "" {
		if err := level.UnmarshalText([]byte(text)); err != nil {
			level.Set(slog.LevelInfo) // a level that only Lambda knows, such as TRACE
		}
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: level}))
	if release := os.Getenv("LEADS_RELEASE"); release != "" {
		log = log.With(slog.String("release", release))
	}
	return log
}
