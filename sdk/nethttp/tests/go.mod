module github.com/wasgun/wasgun/sdk/nethttp/tests

go 1.27.1

require github.com/wasgun/wasgun/sdk/nethttp v0.1.0

replace github.com/wasgun/wasgun/sdk/nethttp => ../wasihttp
