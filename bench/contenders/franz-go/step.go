package main

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Window is how many readings a mean is of.
const Window = 5

// State is what a step remembers of a sensor: the last numbers, the newest at the end.
type State struct {
	sensor  string
	numbers []float64
	changed bool
}

// Step changes a reading, and says whether it is passed on.
type Step func(reading *Reading, state *State) bool

// Steps are all of them. The relay copies bytes, and has no function.
var steps = map[string]struct {
	apply   Step
	isKeyed bool
}{
	"copy":      {nil, false},
	"convert":   {convert, false},
	"threshold": {threshold, false},
	"ewma":      {ewma, true},
	"average":   {average, true},
}

func convert(reading *Reading, _ *State) bool {
	reading.value = reading.value*9.0/5.0 + 32.0
	reading.unit = "fahrenheit"
	return true
}

func threshold(reading *Reading, _ *State) bool {
	return reading.value > -1000
}

func ewma(reading *Reading, state *State) bool {
	const alpha = 0.5
	if len(state.numbers) == 0 {
		state.numbers = append(state.numbers, reading.value)
		return false
	}
	reading.value = alpha*reading.value + (1-alpha)*state.numbers[0]
	state.numbers[0] = reading.value
	return true
}

func average(reading *Reading, state *State) bool {
	if len(state.numbers) < Window {
		state.numbers = append(state.numbers, reading.value)
	} else {
		copy(state.numbers, state.numbers[1:])
		state.numbers[Window-1] = reading.value
	}
	if len(state.numbers) < Window {
		return false
	}
	sum := 0.0
	for _, number := range state.numbers {
		sum += number
	}
	reading.value = sum / Window
	return true
}

// bytes are the state's numbers in the changelog.
func (state *State) bytes() []byte {
	bytes := make([]byte, 0, 8*len(state.numbers))
	for _, number := range state.numbers {
		bytes = binary.LittleEndian.AppendUint64(bytes, math.Float64bits(number))
	}
	return bytes
}

// parseState reads what State.bytes wrote.
func parseState(sensor string, bytes []byte) (*State, error) {
	if len(bytes)%8 != 0 || len(bytes) > 8*Window {
		return nil, fmt.Errorf("the state of %q has %d bytes", sensor, len(bytes))
	}
	state := &State{sensor: sensor, numbers: make([]float64, 0, Window)}
	for ; len(bytes) > 0; bytes = bytes[8:] {
		number := math.Float64frombits(binary.LittleEndian.Uint64(bytes))
		state.numbers = append(state.numbers, number)
	}
	return state, nil
}
