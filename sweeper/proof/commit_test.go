package proof_test

import (
	"testing"

	"github.com/pgsweeper/sweeper/sweeper/proof"
)

var key = []byte("0123456789abcdef0123456789abcdef")

func TestCommitterIsSteady(t *testing.T) {
	t.Parallel()
	c := proof.NewCommitter(key)
	a, b := rowID("kyc.applicants", [2]string{"id", "1"}), rowID("kyc.applicants", [2]string{"id", "2"})
	first := c.Commit(a)
	c.Nonce(b)
	c.Commit(b)
	if again := c.Commit(a); again != first {
		t.Error("a commitment depends on what was committed before")
	}
	if c.Commit(b) == first {
		t.Error("two rows have one commitment")
	}
	if proof.NewCommitter([]byte("another key, another commitment")).Commit(a) == first {
		t.Error("the commitment does not depend on the key")
	}
}

func TestOpenRow(t *testing.T) {
	t.Parallel()
	c := proof.NewCommitter(key)
	id := rowID("kyc.applicants", [2]string{"id", "1"})
	commitment, nonce := c.Commit(id), c.Nonce(id)
	if proof.OpenRow(nonce, id) != commitment {
		t.Error("the nonce and the id do not open the commitment")
	}
	if proof.OpenRow(nonce, rowID("kyc.applicants", [2]string{"id", "2"})) == commitment {
		t.Error("the commitment opens as another row")
	}
	nonce[0] ^= 1
	if proof.OpenRow(nonce, id) == commitment {
		t.Error("the commitment opens with another nonce")
	}
}

// TestIDsKeepFieldsApart has pairs that differ only in where one field ends.
func TestIDsKeepFieldsApart(t *testing.T) {
	t.Parallel()
	c := proof.NewCommitter(key)
	ids := [][]byte{
		rowID("a.b", [2]string{"id", "12"}),
		rowID("a.b", [2]string{"id1", "2"}),
		rowID("a.bid", [2]string{"", "12"}),
		rowID("a.b", [2]string{"id", "1"}, [2]string{"", "2"}),
		rowID("a.b", [2]string{"id", "1"}, [2]string{"2", ""}),
		rowID("a.b", [2]string{"id", "12"}, [2]string{"", ""}),
		rowID("a.b"),
		rowID(""),
		nil,
	}
	seen := map[[32]byte]int{}
	for i, id := range ids {
		commitment := c.Commit(id)
		if other, ok := seen[commitment]; ok {
			t.Errorf("ids %d and %d have one commitment", other, i)
		}
		seen[commitment] = i
	}
	if proof.SubjectDigest(key, "4", "2") == proof.SubjectDigest(key, "", "42") {
		t.Error("a tenant and a subject run into one another")
	}
	if proof.SubjectDigest(key, "", "42") == c.Nonce([]byte("42")) {
		t.Error("a subject's digest is a row's nonce")
	}
}

// TestRowsAllocateNothing is not parallel: AllocsPerRun counts the whole process.
func TestRowsAllocateNothing(t *testing.T) {
	c := proof.NewCommitter(key)
	id := rowID("kyc.applicants", [2]string{"id", "0193e5f0-1111-7222-8333-444455556666"})
	var rows proof.Rows
	for range 1 << 12 {
		rows.Add(c.Commit(id))
	}
	if n := testing.AllocsPerRun(1000, func() { rows.Add(c.Commit(id)) }); n != 0 {
		t.Errorf("committing to a row allocates %v times, want 0", n)
	}
}

func BenchmarkCommitAndAdd(b *testing.B) {
	c := proof.NewCommitter(key)
	id := rowID("kyc.applicants", [2]string{"id", "0193e5f0-1111-7222-8333-444455556666"})
	var rows proof.Rows
	b.ReportAllocs()
	for b.Loop() {
		rows.Add(c.Commit(id))
	}
}
