module github.com/wasgun/wasgun/sdk/nethttp

go 1.27.1

require go.bytecodealliance.org/pkg v0.4.0

replace go.bytecodealliance.org/pkg => ./third_party/pkg
