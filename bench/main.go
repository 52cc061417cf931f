// Command bench measures sweeper against its peers, on a throw-away server that
// it starts itself. It asserts nothing: what it prints is to be read with the
// machine in mind that it ran on.
//
//	go run ./bench plan
//	go run ./bench verify
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// benches are what can be measured, by name.
var benches = map[string]func(ctx context.Context, args []string) error{
	"plan":   benchPlan,
	"verify": benchVerify,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var names []string
	for name := range benches {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(args) == 0 || benches[args[0]] == nil {
		return fmt.Errorf("name one of: %s", strings.Join(names, ", "))
	}
	return benches[args[0]](ctx, args[1:])
}
