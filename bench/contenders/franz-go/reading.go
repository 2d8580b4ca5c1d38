package main

import (
	"math"
	"strconv"

	"github.com/mailru/easyjson/jlexer"
	"github.com/mailru/easyjson/jwriter"
)

// Reading is a reading in rivulet's JSON. Its texts are those of the record that it was parsed of.
type Reading struct {
	sensor string
	seq    uint64
	time   int64
	value  float64
	unit   string
}

// parse reads a reading, as the code that easyjson generates does.
func (reading *Reading) parse(value []byte) error {
	*reading = Reading{}
	in := jlexer.Lexer{Data: value}
	in.Delim('{')
	for !in.IsDelim('}') {
		key := in.UnsafeFieldName(false)
		in.WantColon()
		switch key {
		case "sensor":
			reading.sensor = in.UnsafeString()
		case "seq":
			reading.seq = in.Uint64()
		case "time":
			reading.time = in.Int64()
		case "value":
			reading.value = in.Float64()
		case "unit":
			if in.IsNull() {
				in.Skip()
			} else {
				reading.unit = in.UnsafeString()
			}
		default:
			in.SkipRecursive()
		}
		in.WantComma()
	}
	in.Delim('}')
	in.Consumed()
	return in.Error()
}

// append writes the reading behind text.
func (reading *Reading) append(text []byte) []byte {
	text = append(text, `{"sensor":`...)
	text = appendText(text, reading.sensor)
	text = append(text, `,"seq":`...)
	text = strconv.AppendUint(text, reading.seq, 10)
	text = append(text, `,"time":`...)
	text = strconv.AppendInt(text, reading.time, 10)
	text = append(text, `,"value":`...)
	text = appendNumber(text, reading.value)
	if reading.unit != "" {
		text = append(text, `,"unit":`...)
		text = appendText(text, reading.unit)
	}
	return append(text, '}')
}

// appendNumber writes the shortest text that reads back as the same number.
func appendNumber(text []byte, number float64) []byte {
	format := byte('f')
	if size := math.Abs(number); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(text, number, format, -1, 64)
}

// appendText writes a text in quotes. Most have nothing to escape.
func appendText(text []byte, plain string) []byte {
	for at := range len(plain) {
		if letter := plain[at]; letter < ' ' || letter == '"' || letter == '\\' {
			writer := jwriter.Writer{NoEscapeHTML: true}
			writer.String(plain)
			escaped, _ := writer.BuildBytes()
			return append(text, escaped...)
		}
	}
	text = append(text, '"')
	text = append(text, plain...)
	return append(text, '"')
}
