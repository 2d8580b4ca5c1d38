// A stage on franz-go, written as its docs/transactions.md says: a GroupTransactSession consumes,
// produces and commits. docs/producing-and-consuming.md is followed for the rest: rebalances are
// blocked while records are at hand (BlockRebalanceOnPoll), and offsets are committed by
// CommitUncommittedOffsets without transactions.
//
// JSON is read with easyjson's lexer, the fast one that leaves numbers to strconv, and written by
// appending. Nothing is compressed, which is what the clients of the other contenders do by
// default.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// Options are what the command line says.
type Options struct {
	brokers     []string
	name        string
	from        string
	to          string
	step        string
	exactlyOnce bool
	commit      time.Duration
}

func options() (Options, error) {
	brokers := flag.String("brokers", "", "HOST:PORT[,…]")
	name := flag.String("name", "", "the consumer group, and the prefix of own topics")
	from := flag.String("from", "", "the topic to read")
	to := flag.String("to", "", "the topic to write")
	step := flag.String("step", "", "copy, convert, threshold, ewma or average")
	guarantee := flag.String("guarantee", "exactly-once", "exactly-once or at-least-once")
	commit := flag.Int("commit-ms", 100, "the time between commits")
	flag.Parse()
	if *guarantee != "exactly-once" && *guarantee != "at-least-once" {
		return Options{}, fmt.Errorf("there is no guarantee %q", *guarantee)
	}
	for _, text := range []string{*brokers, *name, *from, *to} {
		if text == "" {
			return Options{}, fmt.Errorf("--brokers, --name, --from and --to are needed")
		}
	}
	return Options{
		brokers:     strings.Split(*brokers, ","),
		name:        *name,
		from:        *from,
		to:          *to,
		step:        *step,
		exactlyOnce: *guarantee == "exactly-once",
		commit:      time.Duration(*commit) * time.Millisecond,
	}, nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
}

func run() error {
	options, err := options()
	if err != nil {
		return err
	}
	// What is alive is some megabytes, so the collector would run very often at the default of
	// 100 %. Twice that takes a sixth less CPU time and half as much memory again. GOGC overrides it.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	ctx := context.Background()
	stage, err := NewStage(ctx, options)
	if err != nil {
		return err
	}
	return stage.Run(ctx)
}
