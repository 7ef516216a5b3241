// Package audit counts the leads of one account after another again, and publishes
// the number of leads and of wrong counts as CloudWatch metrics.
//
// A schedule calls it every hour. Each hour has its account, so that no state is
// kept: with 24 accounts and modes, each is audited once a day.
package audit

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"time"

	"overplane.dev/leads/pkg/dynamo"
)

// maxLeads is the largest number of leads that an audit can read in the 15 minutes
// that Lambda allows, with time to spare. It also limits the cost.
const maxLeads = 2_000_000

// Auditor audits the tenants of a table.
type Auditor struct {
	Table *dynamo.Table
	Log   *slog.Logger

	// Metrics gets a line for each audit in the embedded metric format, see
	// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html.
	Metrics   io.Writer
	Namespace string // of the metrics
}

// Run audits the tenant of an hour. It repairs nothing. A tenant with more than
// two million leads is left out, with a warning in the log.
func (a *Auditor) Run(ctx context.Context, hour time.Time) error {
	tenants, err := a.Table.Tenants(ctx)
	if err != nil || len(tenants) == 0 {
		return err
	}
	tenant := tenants[uint64(hour.Unix()/3600)%uint64(len(tenants))]
	log := a.Log.With("account", tenant.Account, "mode", tenant.Mode)
	total, err := a.Table.Count(ctx, tenant)
	if err != nil {
		return err
	}
	if total > maxLeads {
		log.Warn("account too large for the scheduled audit, run leads audit", "leads", total)
		return nil
	}
	differences := 0
	leads, err := a.Table.Audit(ctx, dynamo.Audit{
		Tenant: tenant,
		Found: func(d dynamo.Difference) {
			differences++
			log.Warn("wrong count, run leads audit -repair", "of", d.Of, "says", d.Says, "should_be", d.ShouldBe)
		},
		Progress: func(int64, int64) {},
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(a.Metrics).Encode(map[string]any{
		"_aws": map[string]any{
			"Timestamp": hour.UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace":  a.Namespace,
				"Dimensions": [][]string{{}},
				"Metrics":    []any{map[string]any{"Name": "AuditedLeads"}, map[string]any{"Name": "AuditDifferences"}},
			}},
		},
		"level": "WARN", // so that no log level suppresses the metrics
		"msg":   "audited", "account": tenant.Account, "mode": tenant.Mode,
		"AuditedLeads": leads, "AuditDifferences": differences,
	})
}
