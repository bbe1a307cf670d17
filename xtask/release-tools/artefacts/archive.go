package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"
)

// entry is one file of an archive.
type entry struct {
	name string
	mode int64
	data []byte
}

// archive writes OUT as a .tar.gz of NAME=SOURCE:MODE, the mode in octal.
func archive(at time.Time, out string, sources []string) error {
	var entries []entry
	for _, source := range sources {
		name, rest, found := strings.Cut(source, "=")
		colon := strings.LastIndex(rest, ":")
		if !found || colon < 0 {
			return fmt.Errorf("%s is not NAME=SOURCE:MODE", source)
		}
		mode, err := strconv.ParseInt(rest[colon+1:], 8, 64)
		if err != nil {
			return fmt.Errorf("the mode of %s is no octal number: %w", name, err)
		}
		data, err := os.ReadFile(rest[:colon])
		if err != nil {
			return err
		}
		entries = append(entries, entry{name, mode, data})
	}
	return writeCompressed(out, at, entries)
}

// repack writes a .tar.gz of regular files again, so that it depends on their names and contents only.
func repack(at time.Time, file string) error {
	packed, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	var entries []entry
	err = eachFile(unzipped, func(header *tar.Header, data []byte) error {
		entries = append(entries, entry{header.Name, 0o644, data})
		return nil
	})
	if err != nil {
		return err
	}
	return writeCompressed(file, at, entries)
}

func writeCompressed(out string, at time.Time, entries []entry) error {
	var packed bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := writeTar(zipped, at, entries, false); err != nil {
		return err
	}
	if err := zipped.Close(); err != nil {
		return err
	}
	return os.WriteFile(out, packed.Bytes(), 0o644)
}

// writeTar writes the entries sorted by name, all of one time and of root; with the folders above them where wanted.
func writeTar(out io.Writer, at time.Time, entries []entry, withFolders bool) error {
	sorted := append([]entry(nil), entries...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].name < sorted[j].name })
	files := tar.NewWriter(out)
	seen := map[string]bool{}
	for _, file := range sorted {
		if seen[file.name] {
			return fmt.Errorf("%s twice in one archive", file.name)
		}
		seen[file.name] = true
		if withFolders {
			if err := writeFolders(files, at, file.name, seen); err != nil {
				return err
			}
		}
		header := &tar.Header{Name: file.name, Mode: file.mode, Size: int64(len(file.data)), ModTime: at, Format: tar.FormatUSTAR}
		if err := files.WriteHeader(header); err != nil {
			return err
		}
		if _, err := files.Write(file.data); err != nil {
			return err
		}
	}
	return files.Close()
}

func writeFolders(files *tar.Writer, at time.Time, name string, seen map[string]bool) error {
	parent := path.Dir(name)
	if parent == "." || seen[parent+"/"] {
		return nil
	}
	if err := writeFolders(files, at, parent, seen); err != nil {
		return err
	}
	seen[parent+"/"] = true
	return files.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: parent + "/", Mode: 0o755, ModTime: at, Format: tar.FormatUSTAR})
}

// eachFile calls visit for every regular file of a tar; anything but files and folders is an error.
func eachFile(archive io.Reader, visit func(*tar.Header, []byte) error) error {
	files := tar.NewReader(archive)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg:
			data, err := io.ReadAll(files)
			if err != nil {
				return err
			}
			if err := visit(header, data); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s is neither a file nor a folder", header.Name)
		}
	}
}
