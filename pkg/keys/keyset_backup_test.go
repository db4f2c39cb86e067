package keys

import (
	"errors"
	"strings"
	"testing"
)

// A file whose checksum is right may still not be a backup that can be used.
func TestBackupsWhosePartsDoNotBelongTogether(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*Keyset, map[string][]byte)
		want  string
	}{
		"a private key is missing":           {func(ks *Keyset, private map[string][]byte) { delete(private, ks.Active().KeyID()) }, "is missing"},
		"that of the specimen is missing":    {func(ks *Keyset, private map[string][]byte) { delete(private, ks.Specimen.KeyID()) }, "is missing"},
		"a private key of an unknown key":    {func(_ *Keyset, private map[string][]byte) { private["other"] = []byte("sealed") }, "does not belong"},
		"that of a key that has left":        {func(ks *Keyset, private map[string][]byte) { private[ks.History[0].KeyID()] = []byte("sealed") }, "does not belong"},
		"an empty private key":               {func(ks *Keyset, private map[string][]byte) { private[ks.Active().KeyID()] = nil }, "is empty"},
		"a document that cannot be used":     {func(ks *Keyset, _ map[string][]byte) { ks.SealingKey = "" }, "sealing_key"},
		"a document of a store that it left": {func(ks *Keyset, _ map[string][]byte) { ks.MovedTo = "etcd://other" }, "moved to etcd://other"},
	} {
		t.Run(name, func(t *testing.T) {
			ks, private := keysetOfAllKinds(t), map[string][]byte{}
			for _, kid := range ks.privateKeys() {
				private[kid] = []byte("sealed")
			}
			data, err := Backup{document: document(t, ks), privateKeys: private}.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseBackup(data); err != nil {
				t.Fatalf("before it was spoiled: %v", err)
			}
			tt.spoil(&ks, private)
			if data, err = (Backup{document: document(t, ks), privateKeys: private}).Encode(); err != nil {
				t.Fatal(err)
			}
			if _, err := ParseBackup(data); !errors.Is(err, ErrBackup) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseBackup = %v, want %q", err, tt.want)
			}
		})
	}
}
