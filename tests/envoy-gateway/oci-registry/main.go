// Command oci-registry serves one image from 127.0.0.1: a module of WebAssembly as the only file of the only layer, as
// envoy/filter.Dockerfile makes it.
//
//	oci-registry MODULE
//
// It prints `image REFERENCE DIGEST` and serves until it is ended.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	const usage = "usage: oci-registry MODULE"
	if len(arguments) == 1 && arguments[0] == "--help" {
		fmt.Println(usage)
		return nil
	}
	if len(arguments) != 1 {
		return errors.New(usage)
	}
	module, err := os.ReadFile(arguments[0])
	if err != nil {
		return err
	}
	image, err := imageOf(module)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	silent := registry.Logger(log.New(io.Discard, "", 0))
	server := &http.Server{Handler: registry.New(silent), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	reference, err := name.ParseReference(listener.Addr().String() + "/tokenward-filter:test")
	if err != nil {
		return err
	}
	if err := remote.Write(reference, image); err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	fmt.Println("image", reference.Name(), digest.Hex)
	return <-ended
}

func imageOf(module []byte) (v1.Image, error) {
	var layer bytes.Buffer
	files := tar.NewWriter(&layer)
	if err := files.WriteHeader(&tar.Header{Name: "plugin.wasm", Mode: 0o644, Size: int64(len(module))}); err != nil {
		return nil, err
	}
	if _, err := files.Write(module); err != nil {
		return nil, err
	}
	if err := files.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil }
	only, err := tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), only)
}
