// An app on net/http.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	wasihttp "github.com/wasgun/wasgun/sdk/nethttp"
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("POST /echo", echo)
	mux.HandleFunc("GET /headers", headers)
	mux.HandleFunc("GET /query", query)
	mux.HandleFunc("POST /json", sum)
	mux.HandleFunc("GET /error", func(http.ResponseWriter, *http.Request) { panic("asked to") })
	wasihttp.Serve(mux)
}

// A component is called, and not run.
func main() {}

func hello(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "Hello from Go!")
}

// The body goes back as it comes.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
	io.Copy(w, r.Body)
}

func headers(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Answer", r.Header.Get("X-Question"))
	http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
	http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
}

func query(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "Hello, %s!\n", r.FormValue("name"))
}

func sum(w http.ResponseWriter, r *http.Request) {
	var body struct{ Numbers []int }
	if json.NewDecoder(r.Body).Decode(&body) != nil || body.Numbers == nil {
		http.Error(w, "numbers is to be a list of whole numbers", http.StatusBadRequest)
		return
	}
	sum := 0
	for _, number := range body.Numbers {
		sum += number
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]int{"sum": sum})
}
