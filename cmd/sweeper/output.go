package main

import (
	"bytes"
	"encoding"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsweeper/sweeper/sweeper"
)

// format is how a verb prints its data: the value of its flag -o.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatCSV   format = "csv"
)

// String, Set and Type make a format the value of a flag.
func (f *format) String() string { return string(*f) }

// Type is what the help calls the value.
func (f *format) Type() string { return "format" }

// Set takes the value from the command line.
func (f *format) Set(text string) error {
	switch format(text) {
	case formatTable, formatJSON, formatCSV:
		*f = format(text)
		return nil
	}
	return fmt.Errorf("write table, json or csv")
}

// outputFlag gives cmd the flag -o and returns where its value will be.
func outputFlag(cmd *cobra.Command) *format {
	f := formatTable
	cmd.Flags().VarP(&f, "output", "o", "how to print the data: table, json or csv")
	choices := cobra.FixedCompletions([]string{string(formatTable), string(formatJSON), string(formatCSV)}, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc("output", choices); err != nil {
		panic(err) // the flag exists: it was made above
	}
	return &f
}

// null stands for an absent value in a table.
const null = "-"

// printRows prints rows, structs with json tags, in the order of their fields.
// JSON is one document, an array of objects; a table has its headers in upper
// case and "-" for NULL; CSV leaves NULL empty. A pointer, slice or map that is
// nil is NULL. A field tagged table:"-" is left out of the table alone.
func printRows[T any](w io.Writer, f format, rows []T) error {
	var out bytes.Buffer
	var err error
	switch f {
	case formatJSON:
		err = writeJSON(&out, rows)
	case formatCSV:
		err = writeCSV(&out, rows)
	default:
		err = writeTable(&out, rows)
	}
	if err != nil {
		return fmt.Errorf("print as %s: %w", f, err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

func writeJSON[T any](w io.Writer, rows []T) error {
	if rows == nil {
		rows = []T{}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(rows)
}

func writeCSV[T any](w io.Writer, rows []T) error {
	columns := columnsOf(reflect.TypeFor[T]())
	c := csv.NewWriter(w)
	record := make([]string, len(columns))
	for i, col := range columns {
		record[i] = col.name
	}
	err := c.Write(record)
	for _, row := range rows {
		for i, col := range columns {
			v := reflect.ValueOf(row).FieldByIndex(col.index)
			text, _, e := cell(v)
			if e != nil {
				return e
			}
			if record[i] = text; !isNumber(v) {
				record[i] = defuse(text)
			}
		}
		if err == nil {
			err = c.Write(record)
		}
	}
	c.Flush()
	if err == nil {
		err = c.Error()
	}
	return err
}

func writeTable[T any](w io.Writer, rows []T) error {
	var columns []column
	for _, col := range columnsOf(reflect.TypeFor[T]()) {
		if !col.hidden {
			columns = append(columns, col)
		}
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := make([]string, len(columns))
	for i, col := range columns {
		line[i] = strings.ToUpper(col.name)
	}
	_, err := fmt.Fprintln(t, strings.Join(line, "\t"))
	for _, row := range rows {
		for i, col := range columns {
			text, absent, e := cell(reflect.ValueOf(row).FieldByIndex(col.index))
			if e != nil {
				return e
			}
			if line[i] = sweeper.Printable(text); absent {
				line[i] = null
			}
		}
		if err == nil {
			_, err = fmt.Fprintln(t, strings.Join(line, "\t"))
		}
	}
	if err == nil {
		err = t.Flush()
	}
	return err
}

// column is one field of a row.
type column struct {
	name   string
	index  []int
	hidden bool // from tables
}

// columnsOf lists the fields of t that JSON shows, under the same names.
func columnsOf(t reflect.Type) []column {
	var columns []column
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || field.Anonymous || !field.IsExported() {
			continue
		}
		if name == "" {
			name = field.Name
		}
		columns = append(columns, column{name, field.Index, field.Tag.Get("table") == "-"})
	}
	return columns
}

// cell renders a value for a table or CSV, and tells whether it is NULL.
func cell(v reflect.Value) (text string, absent bool, err error) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return "", true, nil
		}
		if _, ok := v.Interface().(encoding.TextMarshaler); !ok {
			return cell(v.Elem())
		}
	case reflect.Slice, reflect.Map:
		if v.IsNil() {
			return "", true, nil
		}
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x.UTC().Format(time.RFC3339Nano), false, nil
	case *time.Time:
		return x.UTC().Format(time.RFC3339Nano), false, nil
	case []string:
		return strings.Join(x, ", "), false, nil
	case encoding.TextMarshaler:
		b, err := x.MarshalText()
		return string(b), false, err
	case fmt.Stringer:
		return x.String(), false, nil
	}
	switch v.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
		b, err := json.Marshal(v.Interface())
		return string(b), false, err
	}
	return fmt.Sprint(v.Interface()), false, nil
}

// isNumber tells whether v is one, so that its minus sign is no formula.
func isNumber(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v.CanInt() || v.CanUint() || v.CanFloat()
}

// defuse keeps a spreadsheet from reading a cell as a formula.
func defuse(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
