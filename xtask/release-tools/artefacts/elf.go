package main

import (
	"debug/elf"
	"fmt"
)

// program is what decides where an ELF file runs.
type program struct {
	// Machine is the processor, in the words of container platforms.
	Machine string `json:"machine"`
	// PositionIndependent is whether the kernel may load it at any address.
	PositionIndependent bool `json:"position_independent"`
	// Interpreter is whether the kernel starts a dynamic linker for it.
	Interpreter bool `json:"interpreter"`
	// Libraries are the shared libraries that it needs.
	Libraries []string `json:"libraries"`
}

func elfOf(path string) (program, error) {
	file, err := elf.Open(path)
	if err != nil {
		return program{}, err
	}
	defer file.Close()
	machines := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}
	machine, known := machines[file.Machine]
	if !known {
		return program{}, fmt.Errorf("%s is for another machine: %s", path, file.Machine)
	}
	found := program{Machine: machine, PositionIndependent: file.Type == elf.ET_DYN, Libraries: []string{}}
	for _, header := range file.Progs {
		found.Interpreter = found.Interpreter || header.Type == elf.PT_INTERP
	}
	libraries, err := file.ImportedLibraries()
	if err != nil {
		return program{}, err
	}
	found.Libraries = append(found.Libraries, libraries...)
	return found, nil
}
