module app

go 1.27.1

require github.com/wasgun/wasgun/sdk/nethttp v0.1.0

require go.bytecodealliance.org/pkg v0.4.0 // indirect

replace (
	github.com/wasgun/wasgun/sdk/nethttp => ./wasihttp
	go.bytecodealliance.org/pkg => ./wasihttp/third_party/pkg
)
