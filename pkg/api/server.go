package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
)

// Serve serves the server's handler on a listener, as [http.Server.Serve] does.
// net/http itself answers requests that it cannot parse, in plain text. Serve
// gives these answers the form of all others. It sets ConnContext and ConnState.
func Serve(server *http.Server, listener net.Listener) error {
	handler := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.handled.Store(true)
		}
		handler.ServeHTTP(w, r)
	})
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*conn); ok && state == http.StateIdle { // after an answer
			c.handled.Store(false)
		}
	}
	return server.Serve(connListener{listener})
}

type connKey struct{}

type connListener struct{ net.Listener }

// Accept implements [net.Listener].
func (l connListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if tcp, ok := accepted.(*net.TCPConn); ok {
		return &conn{TCPConn: tcp}, err
	}
	return accepted, err
}

// conn is a connection of a client.
type conn struct {
	*net.TCPConn
	handled atomic.Bool // the handler answers the current request
}

// Write implements [net.Conn]. What net/http writes before it calls the handler is
// an error of its own. It writes such an answer at once, and then closes the
// connection.
func (c *conn) Write(p []byte) (int, error) {
	if c.handled.Load() {
		return c.TCPConn.Write(p)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
	if err != nil {
		return c.TCPConn.Write(p)
	}
	requestID := rand.Text()
	body := fmt.Appendf(nil, `{"error":%s}`, ErrorJSON(requestProblem(resp.StatusCode), requestID))
	var answer bytes.Buffer
	fmt.Fprintf(&answer, "HTTP/1.1 %d %s\r\n", resp.StatusCode, http.StatusText(resp.StatusCode))
	for _, header := range []string{
		"Request-Id: " + requestID, "Content-Type: application/json", fmt.Sprint("Content-Length: ", len(body)),
		"Cache-Control: no-store", "X-Content-Type-Options: nosniff", "Connection: close",
	} {
		answer.WriteString(header + "\r\n")
	}
	answer.WriteString("\r\n")
	answer.Write(body)
	if _, err := c.TCPConn.Write(answer.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// requestProblem returns the error for a request that net/http answers with this
// status.
func requestProblem(status int) *problem {
	p := &problem{
		status: status, kind: invalidRequest, code: "parameter_invalid",
		message: "The request is not valid HTTP/1.1 (RFC 9112). Check its method, path and headers.",
	}
	switch status {
	case http.StatusExpectationFailed:
		p.message = "The header Expect has an unknown value. Leave it out, or send \"Expect: 100-continue\"."
	case http.StatusRequestHeaderFieldsTooLarge:
		p.code, p.message = "parameter_too_long", "The headers are too long. Send shorter ones."
	}
	return p
}
