//go:build !wasip1

package wasihttp

import (
	"log"
	"net/http"
	"os"
)

// Serve serves at the port that the variable PORT names, or 8080. It does not return.
func Serve(handler http.Handler) {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	log.Printf("http://127.0.0.1:%s/", port)
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, handler))
}
