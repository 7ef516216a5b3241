// Command cost computes what a million of each operation costs on AWS, from the
// units and times in docs/performance.md, which "make bench" measures, beside
// the naive design. "make cost" calls it.
//
// Left out are storage, logs, data transfer and free tiers: they are the same
// for both designs, or nearly so.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// seen is when the prices were read, on AWS's own pages or copies of them.
const seen = "2026-11-24 and 28"

// Prices in dollars, of the region us-east-1, at the first step of each scale.
var (
	perMillionReads    = price{0.125, "million read request units of DynamoDB, on demand", "https://github.com/aws/agent-toolkit-for-aws/blob/main/skills/specialized-skills/database-skills/amazon-dynamodb/scripts/calculate_costs.py"}
	perMillionWrites   = price{0.625, "million write request units of DynamoDB, on demand", perMillionReads.source}
	perMillionCalls    = price{0.20, "million requests of Lambda", "https://aws.amazon.com/lambda/pricing/"}
	perGBSecond        = price{0.8 * 0.00001667, "GB-second of Lambda, arm64, 20 % less than on x86", "https://aws.amazon.com/blogs/aws/aws-lambda-functions-powered-by-aws-graviton2-processor-run-your-functions-on-arm-and-get-up-to-34-better-price-performance/"}
	perMillionRequests = price{1.00, "million requests of an HTTP API", "https://docs.aws.amazon.com/whitepapers/latest/best-practices-api-gateway-private-apis-integration/cost-optimization.html"}

	prices = []price{perMillionReads, perMillionWrites, perMillionCalls, perGBSecond, perMillionRequests}
)

// price is what is paid for something, and who says so.
type price struct {
	dollars float64
	of      string
	source  string
}

// memoryGB is that of template.yaml.
const memoryGB = 0.5

// naiveWrites are the units of a design without books that keeps a lead of up
// to 1 KB and an index of keys: counted by DynamoDB's rules, and not measured.
var naiveWrites = map[string]float64{"create": 2, "update": 1, "delete": 2, "delete, years later": 2}

// apiTimeout is the longest that API Gateway waits for an answer: what takes
// longer, marked with *, cannot be had as one request at any price.
const apiTimeout = 30 * time.Second

func main() {
	if err := run("docs/performance.md"); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

var (
	size = regexp.MustCompile(`^### ([\d,]+) leads$`)
	row  = regexp.MustCompile(`^\| (list|create|retrieve|update|delete)(,| \|)`)
)

// run reads the tables and prints each with prices.
func run(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	fmt.Printf("Prices in dollars, us-east-1, read on %s:\n", seen)
	for _, p := range prices {
		fmt.Printf("  %-12s a %s (%s)\n", strconv.FormatFloat(p.dollars, 'f', -1, 64), p.of, p.source)
	}
	fmt.Printf("Below, dollars for a million requests: HTTP API, call of a function, its time with %g GB, units.\n", memoryGB)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer t.Flush()
	rows, figures := 0, false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if match := size.FindStringSubmatch(line); match != nil {
			figures = true
			fmt.Fprintf(t, "\n%s leads\tunits\tdollars\tnaive: units\tdollars\tnaive / ours\t\n", match[1])
		}
		if !figures || !row.MatchString(line) {
			continue
		}
		if err := printRow(t, strings.Split(line, "|")); err != nil {
			return fmt.Errorf("%s: %w in %q", path, err, line)
		}
		rows++
	}
	if rows == 0 {
		return errors.New(path + " has no figures: run make bench and put them there")
	}
	return nil
}

// printRow prints the line of one operation. Its cells are as in the figures:
// operation, requests, units, time, and the last three again for the naive way.
func printRow(t *tabwriter.Writer, cells []string) error {
	if len(cells) < 8 {
		return errors.New("too few cells")
	}
	name := strings.TrimSpace(cells[1])
	units, err := number(cells[3])
	if err != nil {
		return err
	}
	took, err := time.ParseDuration(strings.TrimSpace(cells[4]))
	if err != nil {
		return err
	}
	ours := dollars(name, units, took)
	naiveUnits, ok := naiveWrites[name]
	naiveTook := took
	switch {
	case name == "retrieve":
		naiveUnits, ok = units, true
	case strings.TrimSpace(cells[6]) != "":
		ok = true
		if naiveUnits, err = number(cells[6]); err != nil {
			return err
		}
		if naiveTook, err = time.ParseDuration(strings.TrimSpace(cells[7])); err != nil {
			return err
		}
	}
	fmt.Fprintf(t, "%s\t%.1f\t%.2f\t", name, units, ours)
	if ok {
		naive := dollars(name, naiveUnits, naiveTook)
		note := ""
		if naiveTook > apiTimeout {
			note = " *"
		}
		fmt.Fprintf(t, "%.1f\t%.2f%s\t%.1f\t\n", naiveUnits, naive, note, naive/ours)
		return nil
	}
	fmt.Fprintln(t, "\t\t\t")
	return nil
}

// dollars is the price of a million.
func dollars(name string, units float64, took time.Duration) float64 {
	perUnit := perMillionWrites
	if name == "retrieve" || strings.HasPrefix(name, "list") {
		perUnit = perMillionReads
	}
	billed := math.Ceil(took.Seconds()*1000) / 1000 // Lambda counts whole milliseconds
	return perMillionRequests.dollars + perMillionCalls.dollars + units*perUnit.dollars + billed*1e6*memoryGB*perGBSecond.dollars
}

func number(cell string) (float64, error) {
	return strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(cell), ",", ""), 64)
}
