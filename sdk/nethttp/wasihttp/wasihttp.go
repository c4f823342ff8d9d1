// Package wasihttp serves an http.Handler as a WASI 0.2 component.
//
//	func init() { wasihttp.Serve(http.HandlerFunc(hello)) }
//
//	func main() {}
//
// The host calls a component after its initialization and never runs its main function. Built
// for any other system than wasip1, the program is an ordinary server: `go run .` tries it out.
package wasihttp
