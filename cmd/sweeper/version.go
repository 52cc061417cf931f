package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is what `sweeper version` prints.
type release struct {
	Version  string  `json:"version"`
	Commit   *string `json:"commit"` // NULL when built outside of a checkout
	Go       string  `json:"go_version"`
	Platform string  `json:"platform"`
}

func newVersion(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
	}
	output := outputFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		r := currentRelease(version, debug.ReadBuildInfo)
		if *output != formatTable {
			return printRows(a.stdout, *output, []release{r})
		}
		_, err := fmt.Fprintln(a.stdout, r)
		return err
	}
	return cmd
}

// String is the line for people.
func (r release) String() string {
	commit := ""
	if r.Commit != nil {
		commit = "commit " + *r.Commit + ", "
	}
	return fmt.Sprintf("sweeper %s (%s%s, %s)", r.Version, commit, r.Go, r.Platform)
}

// currentRelease takes the version from the linker, else from the module that
// was installed; "devel" is neither.
func currentRelease(linked string, build func() (*debug.BuildInfo, bool)) release {
	r := release{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := build(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			r.Version = v
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				r.Commit = &setting.Value
			}
		}
	}
	if linked != "" {
		r.Version = linked
	}
	return r
}
