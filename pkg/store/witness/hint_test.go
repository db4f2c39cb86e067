//go:build unix

package witness

import (
	"io/fs"
	"strings"
	"syscall"
	"testing"
)

// A sealing key in a Secret of Kubernetes is on a mount that nobody can write.
func TestStoreErrorSaysWhatToDo(t *testing.T) {
	for errno, want := range map[error]string{
		syscall.EROFS:  "a copy of that key in a folder that can be written",
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
