// Package adapter serves one request by an http.Handler, whatever the host is.
package adapter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
)

// ErrClientGone is what writing gives when nobody takes any more of the response.
var ErrClientGone = errors.New("the client is gone")

// Field is a header field.
type Field struct {
	Name  string
	Value []byte
}

// Host is the host's side of a request.
type Host interface {
	Method() string
	// Target is the path and the query.
	Target() string
	Authority() string
	Fields() []Field
	// Read reads some of the request's body; io.EOF is its end.
	io.Reader
	// Begin sends the head of the response.
	Begin(status int, fields []Field) error
	// Write sends some of its body, and has it delivered.
	io.Writer
	// Finish ends the response; one that is not ended is cut.
	Finish() error
}

// What a refusal is.
var plain = []Field{{"content-type", []byte("text/plain; charset=utf-8")}}

// Most bytes of a response that wait for more, so that a short one gets a Content-Length.
const buffered = 4096

// Serve answers a request. What the handler panics with goes to the log, and the client gets a
// 500, or a response that is cut if some of it was sent.
func Serve(host Host, handler http.Handler) {
	writer := &response{host: host, header: http.Header{}}
	writer.buffer = bufio.NewWriterSize(sender{writer}, buffered)
	target := host.Target()
	request, err := newRequest(host, target)
	if err != nil {
		writer.refuse(http.StatusBadRequest)
		return
	}
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if cause != http.ErrAbortHandler {
			log.Printf("http: panic serving %s %s: %v\n%s", request.Method, request.URL.Path, cause, debug.Stack())
		}
		writer.refuse(http.StatusInternalServerError)
	}()
	if request.Method == http.MethodOptions && target == "*" {
		// About the server and no path: what net/http answers, without asking the handler.
		handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	}
	handler.ServeHTTP(writer, request)
	writer.finish()
}

func newRequest(host Host, target string) (*http.Request, error) {
	address, err := url.ParseRequestURI(target)
	if err != nil && target == "*" {
		address, err = &url.URL{Path: "*"}, nil
	}
	if err != nil {
		return nil, err
	}
	request := &http.Request{
		Method:        host.Method(),
		URL:           address,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{},
		Body:          io.NopCloser(host),
		ContentLength: -1,
		Host:          host.Authority(),
		RequestURI:    target,
	}
	for _, field := range host.Fields() {
		request.Header.Add(field.Name, string(field.Value))
	}
	if length, err := strconv.ParseInt(request.Header.Get("Content-Length"), 10, 64); err == nil {
		request.ContentLength = length
	} else if request.Method == http.MethodGet || request.Method == http.MethodHead {
		request.ContentLength = 0
	}
	if request.Header.Get("Content-Length") == "0" {
		request.Body = http.NoBody
	}
	// One address, and the right one: the server sees to that.
	if client := request.Header.Get("X-Forwarded-For"); client != "" {
		request.RemoteAddr = client + ":0"
		if strings.Contains(client, ":") {
			request.RemoteAddr = "[" + client + "]:0"
		}
	}
	return request, nil
}

// response is an http.ResponseWriter and http.Flusher.
type response struct {
	host Host
	// What the handler may change, and what of it counts once it has called WriteHeader.
	header, head http.Header
	status       int
	buffer       *bufio.Writer
	hasBegun     bool
	// What the host has refused.
	failure error
}

func (r *response) Header() http.Header { return r.header }

func (r *response) WriteHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	if r.status != 0 {
		log.Printf("http: superfluous response.WriteHeader call (%d, after %d)", status, r.status)
		return
	}
	// The host sends no informational responses.
	if status < 200 {
		return
	}
	r.status, r.head = status, r.header.Clone()
}

func (r *response) Write(data []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if !hasBody(r.status) {
		return 0, http.ErrBodyNotAllowed
	}
	// One that is there and empty says that there is to be none.
	_, hasType := r.head["Content-Type"]
	if !hasType && r.head.Get("Content-Encoding") == "" && !r.hasBegun && len(data) > 0 {
		r.head.Set("Content-Type", http.DetectContentType(data))
	}
	return r.buffer.Write(data)
}

// Flush sends what there is.
func (r *response) Flush() {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.begin() == nil {
		r.buffer.Flush()
	}
}

// sender is behind the buffer.
type sender struct{ *response }

func (s sender) Write(data []byte) (int, error) {
	if err := s.begin(); err != nil {
		return 0, err
	}
	return s.host.Write(data)
}

func (r *response) begin() error {
	if r.hasBegun {
		return r.failure
	}
	r.hasBegun = true
	var fields []Field
	// It is between the server and its client: handlers ask net/http for its end by it.
	r.head.Del("Connection")
	for name, values := range r.head {
		for _, value := range values {
			fields = append(fields, Field{strings.ToLower(name), []byte(value)})
		}
	}
	if r.failure = r.host.Begin(r.status, fields); r.failure != nil {
		log.Printf("http: the response is not sent: %v", r.failure)
		if r.host.Begin(http.StatusInternalServerError, plain) == nil {
			io.WriteString(r.host, http.StatusText(http.StatusInternalServerError)+"\n")
			r.host.Finish()
		}
	}
	return r.failure
}

func (r *response) finish() {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	// All of it is here, unless it was a HEAD: then there may be more than was written.
	if !r.hasBegun && hasBody(r.status) && r.head.Get("Content-Length") == "" && r.host.Method() != http.MethodHead {
		r.head.Set("Content-Length", strconv.Itoa(r.buffer.Buffered()))
	}
	if r.begin() != nil || r.buffer.Flush() != nil {
		return
	}
	if err := r.host.Finish(); err != nil && r.host.Method() != http.MethodHead {
		log.Printf("http: the response is cut: %v", err)
	}
}

// refuse answers in the handler's stead, if nothing was sent.
func (r *response) refuse(status int) {
	if r.hasBegun {
		return
	}
	r.status, r.head = status, http.Header{}
	for _, field := range plain {
		r.head.Set(field.Name, string(field.Value))
	}
	r.buffer.Reset(sender{r})
	io.WriteString(r.buffer, http.StatusText(status)+"\n")
	r.finish()
}

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}
