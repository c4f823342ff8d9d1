// Package tests asks the adapter, against a host that is a fake.
package tests

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/wasgun/wasgun/sdk/nethttp/internal/adapter"
)

// host has one request, and notes what becomes of it.
type host struct {
	method, target string
	sent           []adapter.Field
	io.Reader
	status     int
	fields     map[string][]string
	pieces     []string
	isFinished bool
	// So many bytes, and then the client is gone.
	takes int
}

func (h *host) Method() string          { return h.method }
func (h *host) Target() string          { return h.target }
func (h *host) Authority() string       { return "example.com" }
func (h *host) Fields() []adapter.Field { return h.sent }

func (h *host) Begin(status int, fields []adapter.Field) error {
	if h.status != 0 {
		panic("it is begun once")
	}
	h.fields = map[string][]string{}
	for _, field := range fields {
		if field.Name == "forbidden" || field.Name == "connection" {
			return errors.New("forbidden")
		}
		h.fields[field.Name] = append(h.fields[field.Name], string(field.Value))
	}
	h.status = status
	return nil
}

func (h *host) Write(data []byte) (int, error) {
	if h.takes > 0 && len(h.body()) >= h.takes {
		return 0, adapter.ErrClientGone
	}
	h.pieces = append(h.pieces, string(data))
	return len(data), nil
}

func (h *host) Finish() error { h.isFinished = true; return nil }
func (h *host) body() string  { return strings.Join(h.pieces, "") }

// ask has a handler answer, and tells what it logged.
func ask(h *host, handler http.HandlerFunc) (*host, string) {
	if h.method == "" {
		h.method = "GET"
	}
	if h.target == "" {
		h.target = "/"
	}
	if h.Reader == nil {
		h.Reader = strings.NewReader("")
	}
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	adapter.Serve(h, handler)
	return h, logged.String()
}

func TestAShortResponseHasALength(t *testing.T) {
	h, logged := ask(&host{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Connection", "close")
		io.WriteString(w, "hel")
		io.WriteString(w, "lo")
		w.Header().Set("X-Late", "too late")
	})
	if h.status != 200 || h.body() != "hello" || !h.isFinished || logged != "" {
		t.Fatalf("%+v %s", h, logged)
	}
	for name, value := range map[string]string{
		"content-length": "5", "content-type": "text/plain; charset=utf-8", "set-cookie": "a=1|b=2", "x-late": "",
	} {
		if got := strings.Join(h.fields[name], "|"); got != value {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestATypeIsGuessedOnlyOfWhatHasNone(t *testing.T) {
	for _, set := range []func(http.Header){
		func(h http.Header) { h["Content-Type"] = nil },
		func(h http.Header) { h.Set("Content-Encoding", "gzip") },
	} {
		h, _ := ask(&host{}, func(w http.ResponseWriter, _ *http.Request) {
			set(w.Header())
			io.WriteString(w, "\x1f\x8b\x08")
		})
		if h.fields["content-type"] != nil || h.body() != "\x1f\x8b\x08" {
			t.Errorf("%+v", h)
		}
	}
}

func TestARequestOfNoLengthHasNoBody(t *testing.T) {
	sent := []adapter.Field{{Name: "content-length", Value: []byte("0")}}
	ask(&host{method: "POST", sent: sent}, func(_ http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody || r.ContentLength != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestALongOneIsStreamed(t *testing.T) {
	h, _ := ask(&host{method: "POST", Reader: strings.NewReader(strings.Repeat("x", 100_000))},
		func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	if len(h.body()) != 100_000 || len(h.pieces) < 2 || h.fields["content-length"] != nil || !h.isFinished {
		t.Fatalf("%d bytes in %d pieces, %v", len(h.body()), len(h.pieces), h.fields)
	}
}

func TestFlushDelivers(t *testing.T) {
	ask(&host{}, func(w http.ResponseWriter, _ *http.Request) {
		h := &host{method: "GET", target: "/", Reader: strings.NewReader("")}
		adapter.Serve(h, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "one")
			w.(http.Flusher).Flush()
			if h.body() != "one" {
				t.Errorf("%q was delivered", h.body())
			}
			io.WriteString(w, "two")
		}))
		if h.body() != "onetwo" || !h.isFinished {
			t.Errorf("%+v", h)
		}
	})
}

func TestTheRequestIsTheClients(t *testing.T) {
	fields := []adapter.Field{
		{Name: "x-twice", Value: []byte("1")}, {Name: "x-twice", Value: []byte("2")},
		{Name: "content-length", Value: []byte("4")}, {Name: "x-forwarded-for", Value: []byte("2001:db8::1")},
	}
	ask(&host{method: "BREW", target: "/a%2Fb?c=d", sent: fields, Reader: strings.NewReader("body")},
		func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Method != "BREW" || r.URL.Path != "/a/b" || r.URL.RawQuery != "c=d" || r.Host != "example.com" ||
				len(r.Header["X-Twice"]) != 2 || r.ContentLength != 4 || r.RemoteAddr != "[2001:db8::1]:0" ||
				string(body) != "body" {
				t.Errorf("%+v %q", r, body)
			}
		})
	if h, _ := ask(&host{method: "OPTIONS", target: "*"}, nil); h.status != 200 || h.body() != "" {
		t.Errorf("%+v", h)
	}
	if h, _ := ask(&host{target: "no path"}, nil); h.status != 400 {
		t.Errorf("%+v", h)
	}
}

func TestStatusesWithoutABodyAndHead(t *testing.T) {
	h, _ := ask(&host{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(204)
		if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
			t.Errorf("%v", err)
		}
	})
	if h.status != 204 || h.body() != "" || len(h.fields) != 0 || !h.isFinished {
		t.Errorf("%+v", h)
	}
	h, logged := ask(&host{method: "HEAD"}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
	})
	if h.fields["content-length"][0] != "5" || logged != "" {
		t.Errorf("%+v %s", h, logged)
	}
}

func TestAPanicIsA500OrCutsTheResponse(t *testing.T) {
	h, logged := ask(&host{}, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "not sent")
		panic("asked to")
	})
	if h.status != 500 || h.body() != "Internal Server Error\n" || !h.isFinished || !strings.Contains(logged, "asked to") {
		t.Errorf("%+v %s", h, logged)
	}
	h, logged = ask(&host{}, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "sent")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	if h.status != 200 || h.body() != "sent" || h.isFinished || logged != "" {
		t.Errorf("%+v %s", h, logged)
	}
}

func TestARefusedFieldIsLogged(t *testing.T) {
	h, logged := ask(&host{}, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Forbidden", "x") })
	if h.status != 500 || !h.isFinished || !strings.Contains(logged, "forbidden") {
		t.Errorf("%+v %s", h, logged)
	}
}

func TestAClientThatIsGoneIsNoFailure(t *testing.T) {
	h, logged := ask(&host{takes: 1}, func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			if _, err := w.Write(make([]byte, 10_000)); err != nil {
				return
			}
		}
		t.Error("it was not told")
	})
	if h.isFinished || logged != "" {
		t.Errorf("%+v %s", h, logged)
	}
}
