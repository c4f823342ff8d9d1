//go:build wasip1

package wasihttp

import (
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

	"github.com/wasgun/wasgun/sdk/nethttp/internal/adapter"
	types "github.com/wasgun/wasgun/sdk/nethttp/internal/bindings/wasi_http_types"
	streams "github.com/wasgun/wasgun/sdk/nethttp/internal/bindings/wasi_io_streams"
	witRuntime "go.bytecodealliance.org/pkg/wit/runtime"
	witTypes "go.bytecodealliance.org/pkg/wit/types"
)

// The most that the host takes in one blocking call.
const blockingWrite = 4096

var served http.Handler

// Serve has the handler answer what the host asks. To be called in an init function.
func Serve(handler http.Handler) { served = handler }

//go:wasmexport wasi:http/incoming-handler@0.2.12#handle
func handle(request, outparam int32) {
	if served == nil {
		panic("the program has not called wasihttp.Serve in an init function")
	}
	host := &host{
		request:  types.IncomingRequestFromOwnHandle(request),
		outparam: types.ResponseOutparamFromOwnHandle(outparam),
	}
	uncollected(host.readHead)
	adapter.Serve(host, served)
	host.drop()
}

// uncollected calls what may have the host allocate. The garbage collector must not run then: it asks for
// the time, and a component that is asked to allocate must not call its host.
func uncollected(call func()) {
	percent := debug.SetGCPercent(-1)
	call()
	// What the host has allocated is kept until this is said; from here on Go's own references keep it.
	witRuntime.Unpin()
	debug.SetGCPercent(percent)
}

// host implements adapter.Host. Its resources are dropped children first.
type host struct {
	request  *types.IncomingRequest
	outparam *types.ResponseOutparam
	incoming *types.IncomingBody
	from     *streams.InputStream
	outgoing *types.OutgoingBody
	to       *streams.OutputStream
	// What was read and not asked for yet.
	rest []byte

	method, target, authority string
	fields                    []adapter.Field
}

func (h *host) drop() {
	if h.from != nil {
		h.from.Drop()
	}
	if h.incoming != nil {
		h.incoming.Drop()
	}
	if h.to != nil {
		h.to.Drop()
	}
	if h.outgoing != nil {
		h.outgoing.Drop()
	}
	h.request.Drop()
}

var methods = [...]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

func (h *host) readHead() {
	method := h.request.Method()
	if method.Tag() == types.Method_Other {
		h.method = method.Other()
	} else {
		h.method = methods[method.Tag()]
	}
	h.target = h.request.PathWithQuery().SomeOr("/")
	h.authority = h.request.Authority().SomeOr("")
	headers := h.request.Headers()
	defer headers.Drop()
	for _, entry := range headers.Entries() {
		h.fields = append(h.fields, adapter.Field{Name: entry.F0, Value: entry.F1})
	}
}

func (h *host) Method() string          { return h.method }
func (h *host) Target() string          { return h.target }
func (h *host) Authority() string       { return h.authority }
func (h *host) Fields() []adapter.Field { return h.fields }

func (h *host) Read(buffer []byte) (int, error) {
	if h.incoming == nil {
		h.incoming = h.request.Consume().Ok()
		h.from = h.incoming.Stream().Ok()
	}
	if len(buffer) == 0 {
		return 0, nil
	}
	for len(h.rest) == 0 {
		var read witTypes.Result[[]uint8, streams.StreamError]
		uncollected(func() { read = h.from.BlockingRead(uint64(len(buffer))) })
		if read.IsErr() {
			if closed(read.Err()) {
				return 0, io.EOF
			}
			return 0, io.ErrUnexpectedEOF
		}
		h.rest = read.Ok()
	}
	count := copy(buffer, h.rest)
	h.rest = h.rest[count:]
	return count, nil
}

func (h *host) Begin(status int, fields []adapter.Field) error {
	entries := make([]witTypes.Tuple2[string, []uint8], len(fields))
	for at, field := range fields {
		entries[at] = witTypes.Tuple2[string, []uint8]{F0: field.Name, F1: field.Value}
	}
	headers := types.FieldsFromList(entries)
	if headers.IsErr() {
		return fmt.Errorf("the host refuses one of its fields: %q", fields)
	}
	response := types.MakeOutgoingResponse(headers.Ok())
	response.SetStatusCode(uint16(status))
	h.outgoing = response.Body().Ok()
	types.ResponseOutparamSet(h.outparam, witTypes.Ok[*types.OutgoingResponse, types.ErrorCode](response))
	h.to = h.outgoing.Write().Ok()
	return nil
}

func (h *host) Write(data []byte) (int, error) {
	if len(data) <= blockingWrite {
		if sent := h.to.BlockingWriteAndFlush(data); sent.IsErr() {
			closed(sent.Err())
			return 0, adapter.ErrClientGone
		}
		return len(data), nil
	}
	for at := 0; at < len(data); {
		room := h.to.CheckWrite()
		if room.IsErr() {
			closed(room.Err())
			return at, adapter.ErrClientGone
		}
		if room.Ok() == 0 {
			ready := h.to.Subscribe()
			ready.Block()
			ready.Drop()
			continue
		}
		piece := data[at:min(len(data), at+int(room.Ok()))]
		if sent := h.to.Write(piece); sent.IsErr() {
			closed(sent.Err())
			return at, adapter.ErrClientGone
		}
		at += len(piece)
	}
	if sent := h.to.BlockingFlush(); sent.IsErr() {
		closed(sent.Err())
		return 0, adapter.ErrClientGone
	}
	return len(data), nil
}

func (h *host) Finish() error {
	h.to.Drop()
	outgoing := h.outgoing
	h.to, h.outgoing = nil, nil
	var finished witTypes.Result[witTypes.Unit, types.ErrorCode]
	uncollected(func() { finished = types.OutgoingBodyFinish(outgoing, witTypes.None[*types.Fields]()) })
	if finished.IsErr() {
		return fmt.Errorf("its body has another length than was announced")
	}
	return nil
}

// closed tells whether a stream has ended; what else it says is dropped.
func closed(err streams.StreamError) bool {
	if err.Tag() == streams.StreamError_LastOperationFailed {
		err.LastOperationFailed().Drop()
		return false
	}
	return true
}
