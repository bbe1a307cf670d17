package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// serveRegistry prints `registry HOST:PORT` and serves from memory until standard input ends.
func serveRegistry() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           registry.New(registry.Logger(log.New(io.Discard, "", 0))),
		ReadHeaderTimeout: 10 * time.Second,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	fmt.Println("registry", listener.Addr())
	return <-ended
}

// push uploads the layout in a tar. A tag is written once: one that leads elsewhere already is an error.
func push(archive, reference string) (string, error) {
	ref, err := name.ParseReference(reference, name.StrictValidation)
	if err != nil {
		return "", err
	}
	folder, err := os.MkdirTemp("", "oci-layout-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	if err := unpack(archive, folder); err != nil {
		return "", err
	}
	content, wanted, err := contentOf(folder)
	if err != nil {
		return "", err
	}
	there, err := remote.Head(ref, remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err == nil && there.Digest != wanted {
		return "", fmt.Errorf("%s is there already, with another content: %s", ref, there.Digest)
	}
	if err != nil && !isNotFound(err) {
		return "", err
	}
	if err := remote.Push(ref, content, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return "", err
	}
	digest, err := digestOf(reference)
	if err == nil && digest != wanted.String() {
		err = fmt.Errorf("the registry serves %s as %s, pushed was %s", ref, digest, wanted)
	}
	return digest, err
}

func isNotFound(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// contentOf is the only index or image of a layout, checked whole.
func contentOf(folder string) (remote.Taggable, v1.Hash, error) {
	top, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, v1.Hash{}, fmt.Errorf("the layout has %d images, one was expected", len(manifest.Manifests))
	}
	only := manifest.Manifests[0]
	if only.MediaType.IsIndex() {
		index, err := top.ImageIndex(only.Digest)
		if err != nil {
			return nil, v1.Hash{}, err
		}
		return index, only.Digest, validate.Index(index)
	}
	image, err := top.Image(only.Digest)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	return image, only.Digest, validate.Image(image)
}

func unpack(archive, folder string) error {
	packed, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer packed.Close()
	return eachFile(packed, func(header *tar.Header, data []byte) error {
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("%s leads out of the archive", header.Name)
		}
		place := filepath.Join(folder, header.Name)
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			return err
		}
		return os.WriteFile(place, data, 0o644)
	})
}

func digestOf(reference string) (string, error) {
	ref, err := name.ParseReference(reference, name.StrictValidation)
	if err != nil {
		return "", err
	}
	found, err := remote.Get(ref, remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return "", err
	}
	return found.Digest.String(), nil
}

// servedImage is one platform's image as a registry serves it.
type servedImage struct {
	Architecture string    `json:"architecture"`
	Digest       string    `json:"digest"`
	Config       v1.Config `json:"config"`
	// Files are the regular files of all layers by path, each with the SHA-256 of its content.
	Files map[string]servedFile `json:"files"`
}

type servedFile struct {
	SHA256 string `json:"sha256"`
	Mode   int64  `json:"mode"`
}

// served downloads an index or image whole and checks every digest on the way.
func served(reference string) ([]servedImage, error) {
	ref, err := name.ParseReference(reference, name.StrictValidation)
	if err != nil {
		return nil, err
	}
	found, err := remote.Get(ref)
	if err != nil {
		return nil, err
	}
	if !found.MediaType.IsIndex() {
		image, err := found.Image()
		if err != nil {
			return nil, err
		}
		only, err := describe(image)
		return []servedImage{only}, err
	}
	index, err := found.ImageIndex()
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var all []servedImage
	for _, entry := range manifest.Manifests {
		image, err := index.Image(entry.Digest)
		if err != nil {
			return nil, err
		}
		described, err := describe(image)
		if err != nil {
			return nil, err
		}
		if entry.Platform == nil || entry.Platform.Architecture != described.Architecture {
			return nil, fmt.Errorf("the index has another platform for %s than the image itself", entry.Digest)
		}
		all = append(all, described)
	}
	return all, nil
}

func describe(image v1.Image) (servedImage, error) {
	if err := validate.Image(image); err != nil {
		return servedImage{}, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return servedImage{}, err
	}
	digest, err := image.Digest()
	if err != nil {
		return servedImage{}, err
	}
	described := servedImage{config.Architecture, digest.String(), config.Config, map[string]servedFile{}}
	layers, err := image.Layers()
	if err != nil {
		return servedImage{}, err
	}
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			return servedImage{}, err
		}
		err = eachFile(content, func(header *tar.Header, data []byte) error {
			sum := sha256.Sum256(data)
			described.Files[header.Name] = servedFile{hex.EncodeToString(sum[:]), header.Mode}
			return nil
		})
		content.Close()
		if err != nil {
			return servedImage{}, err
		}
	}
	return described, nil
}
