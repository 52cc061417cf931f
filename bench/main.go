// Command bench measures sweeper against its peers and its limits, on a
// throw-away server that it starts itself, and prints each figure with what it
// was held against. Ratios are of medians taken in one run on the same data.
// It asserts nothing: what it prints is to be read with the machine in mind
// that it ran on, and a loaded machine prints nonsense.
//
//	go run ./bench                       # everything, for hours
//	go run ./bench -list                 # what there is
//	go run ./bench -run '^delete' -o json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	b := &bench{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	choose := flags.String("run", "", "measure only lines whose names match this `regexp`")
	flags.StringVar(&b.output, "o", "table", "table or json")
	list := flags.Bool("list", false, "print the names of the lines and measure nothing")
	flags.IntVar(&b.rows, "rows", 2_000_000, "rows of a table, of which half are due; targets are for 2000000")
	flags.IntVar(&b.runs, "runs", 5, "runs of which the median is taken")
	flags.StringVar(&b.pace, "pace", "SWEEPER_ROWS_PER_SECOND=500 SWEEPER_BATCH_TARGET=1s", "settings of the sweep that is paced, beside a load")
	flags.StringVar(&b.dir, "dir", "", "where the server's folder is made")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || b.output != "table" && b.output != "json" {
		return errors.New("want flags only, and -o table or json; see -h")
	}
	if b.chosen, err = regexp.Compile(*choose); err != nil {
		return fmt.Errorf("-run %s: %w", *choose, err)
	}
	if *list {
		return b.list()
	}
	if err := b.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop(context.WithoutCancel(ctx))) }()
	for _, g := range groups {
		if !b.wants(g.lines...) {
			continue
		}
		err = errors.Join(err, b.measure(ctx, g))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(err, b.print())
}

// measure measures one group. What it could not measure is reported as such, and
// is no error where a peer is not installed; what it left behind goes.
func (b *bench) measure(ctx context.Context, g group) error {
	measuring, end := context.WithCancel(ctx) // and a daemon that it left running
	err := g.measure(measuring, b)
	end()
	err = errors.Join(err, b.clear(context.WithoutCancel(ctx)))
	if err == nil {
		return nil
	}
	b.lack(g.lines, err)
	if errors.As(err, new(missing)) {
		return nil
	}
	return fmt.Errorf("measure %s: %w", g.lines[0], err)
}
