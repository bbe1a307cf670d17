// Command release-artefacts makes and checks the files of a release that cargo does not: archives, container images, and what a
// registry serves of them. `cargo xtask release` decides what goes into each and calls it.
//
//	release-artefacts archive TIME OUT NAME=SOURCE:MODE…   a .tar.gz
//	release-artefacts repack TIME FILE                     a .tar.gz again, with fixed order, times and owners
//	release-artefacts elf FILE                             machine and dynamic parts of a program, as JSON
//	release-artefacts image SPECIFICATION OUT              an OCI layout in a tar; prints its digest
//	release-artefacts push ARCHIVE REFERENCE               uploads such a tar; prints the digest that the registry serves
//	release-artefacts digest REFERENCE                     the digest that the registry serves
//	release-artefacts served REFERENCE                     what an image holds, downloaded whole, as JSON
//	release-artefacts registry                             a registry on 127.0.0.1 until standard input ends
//
// TIME is in seconds since 1970. The same input gives the same bytes.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

const usage = "usage: release-artefacts archive|repack|elf|image|push|digest|served|registry ARGUMENT…"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 1 && arguments[0] == "--help" {
		fmt.Println(usage)
		return nil
	}
	if len(arguments) == 0 {
		return errors.New(usage)
	}
	verb, rest := arguments[0], arguments[1:]
	switch {
	case verb == "archive" && len(rest) > 2:
		return withTime(rest[0], func(at time.Time) error { return archive(at, rest[1], rest[2:]) })
	case verb == "repack" && len(rest) == 2:
		return withTime(rest[0], func(at time.Time) error { return repack(at, rest[1]) })
	case verb == "elf" && len(rest) == 1:
		return print(elfOf(rest[0]))
	case verb == "image" && len(rest) == 2:
		return say(makeImage(rest[0], rest[1]))
	case verb == "push" && len(rest) == 2:
		return say(push(rest[0], rest[1]))
	case verb == "digest" && len(rest) == 1:
		return say(digestOf(rest[0]))
	case verb == "served" && len(rest) == 1:
		return print(served(rest[0]))
	case verb == "registry" && len(rest) == 0:
		return serveRegistry()
	}
	return errors.New(usage)
}

func withTime(seconds string, work func(time.Time) error) error {
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("TIME is no number of seconds: %w", err)
	}
	return work(time.Unix(unix, 0).UTC())
}

func say(text string, err error) error {
	if err == nil {
		fmt.Println(text)
	}
	return err
}

func print(value any, err error) error {
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(value)
}
