package remote

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// Document is a JWK Set as it was fetched, and what its headers said.
type Document struct {
	URL      string        // where it was fetched
	Set      jwk.Set       // the keys that can be used, in their order
	Problems []jwk.Problem // the keys that cannot
	Raw      []byte        // the body as received

	ContentType  string // the header; not checked, because many servers send a wrong one
	CacheControl string // the header, several lines joined by a comma
	Expires      string // the header
	ETag         string // the header, quotes included
	LastModified string // the header
	date         string // the header

	Age        time.Duration // how old the response was on arrival, by its Age header
	FetchedAt  time.Time     // when the request was sent
	FreshUntil time.Time     // until then the document is used without a new request
	StaleUntil time.Time     // until then it may be used while no newer one can be fetched
}

// Fetch fetches the JWK Set at rawURL once, without a cache of its own. A set without a usable key is not an error here: see
// Problems. Errors: ErrAddress, ErrUnavailable.
func Fetch(ctx context.Context, rawURL string, o Options) (Document, error) {
	o = o.complete()
	u, err := parseAddress(rawURL, o.InsecureHTTP)
	if err != nil {
		return Document{}, err
	}
	return o.fetch(ctx, u, Document{}, false)
}

// fetch fetches the document that follows prev, which may be the zero value. With force,
// caches on the way must revalidate their copy with the origin.
func (o Options) fetch(ctx context.Context, u *url.URL, prev Document, force bool) (Document, error) {
	header := http.Header{"Accept": {"application/jwk-set+json, application/json;q=0.9"}}
	maps.Copy(header, o.Header)
	if force {
		header.Set("Cache-Control", "no-cache")
	}
	if prev.ETag != "" {
		header.Set("If-None-Match", prev.ETag)
	}
	// Last-Modified has whole seconds, so it cannot tell whether a key was added in this second.
	if prev.LastModified != "" && !force {
		header.Set("If-Modified-Since", prev.LastModified)
	}

	sent := o.Now()
	r, err := o.get(ctx, u, header)
	if err != nil {
		return Document{}, err
	}
	var doc Document
	if r.status == http.StatusNotModified {
		doc = prev
	} else {
		doc.Raw = r.body
		if doc.Set, doc.Problems, err = jwk.ParseSet(r.body); err != nil {
			return Document{}, unavailable(u, err)
		}
	}
	doc.URL, doc.FetchedAt = u.String(), sent
	doc.readHeader(r.header)
	doc.setLifetime(o.Now(), o)
	return doc, nil
}

// readHeader reads h. A header that a 304 leaves out keeps its value (RFC 9111 section
// 4.3.4), except Age, which belongs to one response.
func (d *Document) readHeader(h http.Header) {
	d.ContentType = cmp.Or(h.Get("Content-Type"), d.ContentType)
	d.CacheControl = cmp.Or(strings.Join(h.Values("Cache-Control"), ", "), d.CacheControl)
	d.Expires = cmp.Or(h.Get("Expires"), d.Expires)
	d.ETag = cmp.Or(h.Get("ETag"), d.ETag)
	d.LastModified = cmp.Or(h.Get("Last-Modified"), d.LastModified)
	d.date = cmp.Or(h.Get("Date"), d.date)
	d.Age = deltaSeconds(strings.TrimSpace(h.Get("Age")))
}

// clone makes a copy that the caller may change.
func (d Document) clone() Document {
	d.Set.Keys = slices.Clone(d.Set.Keys)
	d.Problems = slices.Clone(d.Problems)
	d.Raw = bytes.Clone(d.Raw)
	return d
}

// reply is an accepted response: 200 with a body that begins like a JSON object, or 304
// to a conditional request.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// get sends one request and reads the whole response, within o.Timeout and o.MaxSize.
func (o Options) get(ctx context.Context, u *url.URL, header http.Header) (reply, error) {
	ctx, cancel := o.limit(ctx)
	defer cancel()
	r, err := o.roundTrip(ctx, u, header)
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		return reply{}, gaveUp(ctx, u)
	}
	// url.Error shows the URL with its query.
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return reply{}, unavailable(u, err)
}

// limit sets the deadline of one call.
func (o Options) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("no complete response within %s", o.Timeout))
}

func (o Options) roundTrip(ctx context.Context, u *url.URL, header http.Header) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return reply{}, err
	}
	req.Header = header
	client := http.Client{Transport: o.Transport, CheckRedirect: checkRedirect}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	conditional := header.Get("If-None-Match") != "" || header.Get("If-Modified-Since") != ""
	if resp.StatusCode == http.StatusNotModified && conditional {
		return reply{status: resp.StatusCode, header: resp.Header}, nil
	}
	if resp.StatusCode != http.StatusOK {
		return reply{}, fmt.Errorf("the answer is %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, o.MaxSize+1))
	if err != nil {
		return reply{}, err
	}
	if int64(len(body)) > o.MaxSize {
		return reply{}, fmt.Errorf("the answer is larger than %d bytes", o.MaxSize)
	}
	body = bytes.TrimPrefix(body, []byte("\ufeff")) // a byte order mark, which JSON must not have, but some servers send
	return reply{status: resp.StatusCode, header: resp.Header, body: body}, checkBody(body)
}

// checkBody names the common mistakes, for which a JSON parser would all report an
// invalid character.
func checkBody(body []byte) error {
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0:
		return errors.New("the answer is empty")
	case text[0] == '<':
		return errors.New("the answer is a web page (HTML), not JSON: check the path")
	case text[0] != '{':
		return errors.New("the answer is not a JSON object")
	}
	return nil
}

// gaveUp is the error of a context that ended, by our timeout or by the caller, who may
// want to match the cause.
func gaveUp(ctx context.Context, u *url.URL) error {
	return fmt.Errorf("%s is %w: %w", display(u), ErrUnavailable, context.Cause(ctx))
}

func unavailable(u *url.URL, cause error) error {
	return fmt.Errorf("%s is %w: %v", display(u), ErrUnavailable, cause)
}
