package server

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
	"github.com/jwksctl/jwksctl/pkg/keys"
)

// document serves a JSON document that follows from what the ring publishes, and from the
// list of clients.
type document struct {
	ring        *keys.Ring
	contentType string
	render      func(*keys.Publication) any
	revision    func() uint64 // of what render reads beside the ring; nil if that is nothing
	current     atomic.Pointer[rendered]
}

// rendered is a document as bytes. It is shared by all responses and never changed.
type rendered struct {
	from        *keys.Publication
	revision    uint64
	body        []byte
	etag        string
	header      http.Header // of an answer with the document
	notModified http.Header // of an answer without it, 304
}

// serve answers GET and HEAD, with 304 if the client has the document already. It
// encodes only when there is something new. http.ServeContent would also
// send parts of the document, and errors that are no problem documents.
func (d *document) serve(w http.ResponseWriter, r *http.Request) error {
	publication, err := d.ring.Published()
	if err != nil {
		return err
	}
	var revision uint64
	if d.revision != nil {
		revision = d.revision() // is read before render reads, so that what changes in between is rendered again
	}
	current := d.current.Load()
	if current == nil || current.from != publication || current.revision != revision {
		if current, err = d.encode(publication); err != nil {
			return err
		}
		current.revision = revision
		d.current.Store(current)
	}
	if etagMatches(r.Header.Values("If-None-Match"), current.etag) {
		maps.Copy(w.Header(), current.notModified)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	maps.Copy(w.Header(), current.header)
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(current.body) // if it fails, the client is gone
	}
	return nil
}

func (d *document) encode(p *keys.Publication) (*rendered, error) {
	body, err := json.Marshal(d.render(p))
	if err != nil {
		return nil, fmt.Errorf("encode the document: %v", err)
	}
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:]) + `"`
	notModified := make(http.Header)
	notModified.Set("ETag", etag)
	notModified.Set("Cache-Control", fmt.Sprintf("public, max-age=%d, must-revalidate", p.MaxAge/time.Second))
	header := notModified.Clone()
	header.Set("Content-Type", d.contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	return &rendered{from: p, body: body, etag: etag, header: header, notModified: notModified}, nil
}

// etagMatches reports whether If-None-Match names the tag (RFC 9110, section
// 13.1.2). The comparison is weak, because a proxy that compresses the body makes
// the ETag a weak one.
func etagMatches(lines []string, etag string) bool {
	for _, line := range lines {
		for {
			line = strings.TrimLeft(line, " \t,")
			if strings.HasPrefix(line, "*") {
				return true
			}
			line = strings.TrimPrefix(line, "W/")
			if line == "" || line[0] != '"' {
				break // no further tag
			}
			end := strings.IndexByte(line[1:], '"')
			if end < 0 {
				break
			}
			if line[:end+2] == etag {
				return true
			}
			line = line[end+2:]
		}
	}
	return false
}

func renderSet(p *keys.Publication) any { return jwk.Set{Keys: p.Keys} }
