package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// specification is what an image is made of. Several platforms become one index; without Index there is one platform, and the
// reference leads to its manifest.
type specification struct {
	// Created is in seconds since 1970: the time of the image and of every file in it.
	Created int64 `json:"created"`
	Index   bool  `json:"index"`
	// Version names the image in its layout.
	Version     string            `json:"version"`
	Annotations map[string]string `json:"annotations"`
	Platforms   []platform        `json:"platforms"`
}

type platform struct {
	Architecture string    `json:"architecture"`
	Config       v1.Config `json:"config"`
	// Layers are lists of files, the lowest layer first.
	Layers [][]source `json:"layers"`
}

type source struct {
	Path   string `json:"path"`
	Source string `json:"source"`
	Mode   int64  `json:"mode"`
}

// makeImage writes an OCI layout as one tar and returns the digest of the index or manifest in it.
func makeImage(specificationFile, out string) (string, error) {
	text, err := os.ReadFile(specificationFile)
	if err != nil {
		return "", err
	}
	var wanted specification
	if err := json.Unmarshal(text, &wanted); err != nil {
		return "", fmt.Errorf("%s: %w", specificationFile, err)
	}
	if len(wanted.Platforms) == 0 || (!wanted.Index && len(wanted.Platforms) != 1) {
		return "", errors.New("an image has one platform, an index at least one")
	}
	folder, err := os.MkdirTemp("", "oci-layout-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	digest, err := writeLayout(wanted, folder)
	if err != nil {
		return "", err
	}
	return digest, packFolder(folder, out, time.Unix(wanted.Created, 0).UTC())
}

func writeLayout(wanted specification, folder string) (string, error) {
	place, err := layout.Write(folder, empty.Index)
	if err != nil {
		return "", err
	}
	named := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": wanted.Version})
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range wanted.Platforms {
		image, err := imageOf(wanted, platform)
		if err != nil {
			return "", err
		}
		if !wanted.Index {
			digest, err := image.Digest()
			if err != nil {
				return "", err
			}
			return digest.String(), place.AppendImage(image, named)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: platform.Architecture}},
		})
	}
	index = mutate.Annotations(index, wanted.Annotations).(v1.ImageIndex)
	digest, err := index.Digest()
	if err != nil {
		return "", err
	}
	return digest.String(), place.AppendIndex(index, named)
}

func imageOf(wanted specification, platform platform) (v1.Image, error) {
	at := time.Unix(wanted.Created, 0).UTC()
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: platform.Architecture, Created: v1.Time{Time: at}, Config: platform.Config,
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	for _, sources := range platform.Layers {
		layer, err := layerOf(at, sources)
		if err != nil {
			return nil, err
		}
		history := v1.History{Created: v1.Time{Time: at}, CreatedBy: "cargo xtask release"}
		if image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: history}); err != nil {
			return nil, err
		}
	}
	return mutate.Annotations(image, wanted.Annotations).(v1.Image), nil
}

func layerOf(at time.Time, sources []source) (v1.Layer, error) {
	var entries []entry
	for _, source := range sources {
		data, err := os.ReadFile(source.Source)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{source.Path, source.Mode, data})
	}
	var layer bytes.Buffer
	if err := writeTar(&layer, at, entries, true); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(9), tarball.WithCompressedCaching)
}

// packFolder writes a folder's files as one tar.
func packFolder(folder, out string, at time.Time) error {
	var entries []entry
	err := filepath.WalkDir(folder, func(path string, found fs.DirEntry, err error) error {
		if err != nil || found.IsDir() {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		entries = append(entries, entry{filepath.ToSlash(name), 0o644, data})
		return err
	})
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := writeTar(&packed, at, entries, true); err != nil {
		return err
	}
	return os.WriteFile(out, packed.Bytes(), 0o644)
}
