//go:build unix

package witness

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// TestStoreErrorSaysWhatToDo includes a read-only mount, such as that of a Kubernetes
// Secret with the sealing key.
func TestStoreErrorSaysWhatToDo(t *testing.T) {
	for errno, want := range map[error]string{
		syscall.EROFS:  "copy the sealing key into a folder that can be written",
		syscall.EACCES: "the right to write to /keys",
		syscall.EIO:    "check the disk of /keys",
	} {
		err := Folder("/keys").storeError(&fs.PathError{Op: "open", Path: "/keys/x", Err: errno})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/keys/x") {
			t.Errorf("%v gives %v, want %q", errno, err, want)
		}
	}
	if err := Folder("/keys").storeError(nil); err != nil {
		t.Errorf("no error gives %v", err)
	}
}
