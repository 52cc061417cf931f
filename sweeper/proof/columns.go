package proof

import (
	"encoding/binary"
	"errors"
)

// LeafColumns is the number of columns that a leaf is made of.
const LeafColumns = 24

// columnsField is the place of column columns.
const columnsField = 21

var errColumns = errors.New("make a leaf of columns: a column has not the form that PostgreSQL sends")

// How a field of the table stands in a leaf. The binary form in which the server
// sends a column is that of the leaf: only what goes before it differs.
type leafField struct {
	null   bool // a byte before it tells NULL from a value
	length bool // its length goes before it
}

var leafFields = [LeafColumns]leafField{
	{}, {}, {null: true}, {}, {null: true}, // seq to xid
	{length: true}, {length: true}, // source, kind
	{true, true}, {true, true}, {true, true}, {true, true}, {true, true}, {true, true}, // reason to subject_digest
	{null: true}, {true, true}, {true, true}, {true, true}, // cutoff to reference
	{null: true}, {null: true}, {true, true}, {null: true}, // request_id to row_count
	{null: true}, {null: true}, {true, true}, // columns, objects_removed, rows_root
}

// AppendColumns appends to dst the leaf of an entry, made of its columns in the
// order of the table as PostgreSQL sends them in binary form, nil for NULL: the
// way that a whole log is read fast. What no entry has that Leaf would make, such
// as an infinite time, goes into it as it is, so that nothing passes for
// something else.
func AppendColumns(dst []byte, fields [][]byte) ([]byte, error) {
	if len(fields) < LeafColumns {
		return dst, errColumns
	}
	dst = append(dst, leafLabel...)
	for i, form := range leafFields {
		field := fields[i]
		switch {
		case field == nil && form.null:
			dst = append(dst, 0)
			continue
		case field == nil:
			return dst, errColumns
		case form.null:
			dst = append(dst, 1)
		}
		if i == columnsField {
			var err error
			if dst, err = appendArray(dst, field); err != nil {
				return dst, err
			}
			continue
		}
		if form.length {
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(field)))
		}
		dst = append(dst, field...)
	}
	return dst, nil
}

// appendArray turns the binary form of a text[] into that of a leaf.
func appendArray(dst, array []byte) ([]byte, error) {
	const head, dimension = 12, 8
	if len(array) < head {
		return dst, errColumns
	}
	dimensions := binary.BigEndian.Uint32(array)
	if dimensions == 0 {
		return binary.BigEndian.AppendUint32(dst, 0), nil
	}
	count := uint32(1)
	array = array[head:]
	for range dimensions {
		if len(array) < dimension {
			return dst, errColumns
		}
		count *= binary.BigEndian.Uint32(array)
		array = array[dimension:]
	}
	// What is left is, for each element, its length and its bytes; the length of
	// NULL, which never occurs, is -1 and that of no text.
	return append(binary.BigEndian.AppendUint32(dst, count), array...), nil
}
