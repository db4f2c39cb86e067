package storetest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync/atomic"
)

// Framing says where the messages of a wire protocol end. It is called once for each
// connection, and returns a function for what the client sends and one for what the
// server sends.
type Framing func() (fromClient, fromServer bufio.SplitFunc)

// PostgreSQL is the framing of PostgreSQL's protocol 3 without TLS: a message is a type
// byte, four bytes with the length, and the content. The first message of the client
// has no type byte. The answer to a request for encryption is one byte.
func PostgreSQL() (fromClient, fromServer bufio.SplitFunc) {
	const sslRequest, gssRequest = 80877103, 80877104
	var asked atomic.Bool // the next byte from the server answers a request for encryption
	started := false
	fromClient = func(data []byte, atEOF bool) (int, []byte, error) {
		if started {
			return splitTyped(data, atEOF)
		}
		n, message, err := splitLength(data, 0, 4, 0, atEOF)
		if len(message) >= 8 {
			code := binary.BigEndian.Uint32(message[4:])
			encrypt := code == sslRequest || code == gssRequest
			asked.Store(encrypt)
			started = !encrypt
		}
		return n, message, err
	}
	fromServer = func(data []byte, atEOF bool) (int, []byte, error) {
		if len(data) == 0 || !asked.Load() {
			return splitTyped(data, atEOF)
		}
		if data[0] != 'N' {
			return 0, nil, errors.New("the server encrypts the connection, so the proxy cannot read it: use sslmode=disable")
		}
		asked.Store(false)
		return 1, data[:1], nil
	}
	return fromClient, fromServer
}

func splitTyped(data []byte, atEOF bool) (int, []byte, error) {
	return splitLength(data, 1, 4, 1, atEOF)
}

// HTTP2 is the framing of HTTP/2 without TLS, which gRPC uses: a frame is three bytes
// with the length, six other bytes, and the content. The first message of the client is
// the connection preface.
func HTTP2() (fromClient, fromServer bufio.SplitFunc) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	started := false
	fromClient = func(data []byte, atEOF bool) (int, []byte, error) {
		switch {
		case started:
			return splitHTTP2(data, atEOF)
		case len(data) >= len(preface):
			started = true
			return len(preface), data[:len(preface)], nil
		case atEOF && len(data) > 0:
			return 0, nil, io.ErrUnexpectedEOF
		}
		return 0, nil, nil
	}
	return fromClient, splitHTTP2
}

func splitHTTP2(data []byte, atEOF bool) (int, []byte, error) {
	return splitLength(data, 0, 3, 9, atEOF)
}

// splitLength splits off a message whose length is a number of width bytes at offset at,
// to which extra bytes are added that the number does not count.
func splitLength(data []byte, at, width, extra int, atEOF bool) (int, []byte, error) {
	if len(data) >= at+width {
		length := extra
		for i, b := range data[at : at+width] {
			length += int(b) << (8 * (width - 1 - i))
		}
		if length < at+width {
			return 0, nil, errors.New("the length of a message is wrong")
		}
		if len(data) >= length {
			return length, data[:length], nil
		}
	}
	if atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return 0, nil, nil
}
