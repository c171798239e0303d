// A control plane as its users build it on go-control-plane: the snapshot cache, one entry for
// each node over shared resources, everything on one aggregated stream.
//
//	go_reference ADDRESS NODES FILE...
//
// A file is one generation: messages google.protobuf.Any, each after its length as a varint.
// NODES is a file with a name on each line.  Each line on standard input serves the next file,
// in turn, to all nodes.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

func main() {
	if len(os.Args) < 4 {
		log.Fatal("usage: go_reference ADDRESS NODES FILE...")
	}
	nodes := lines(os.Args[2])
	var snapshots []*cache.Snapshot
	for number, file := range os.Args[3:] {
		snapshots = append(snapshots, read(file, strconv.Itoa(number+1)))
	}
	entries := cache.NewSnapshotCache(true, cache.IDHash{}, nil)
	serve(entries, nodes, snapshots[0])

	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	// What the examples of the library recommend.
	service := grpc.NewServer(
		grpc.MaxConcurrentStreams(1000000),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 5 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second, PermitWithoutStream: true}),
	)
	discovery.RegisterAggregatedDiscoveryServiceServer(
		service, server.NewServer(context.Background(), entries, nil))
	go func() { log.Fatal(service.Serve(listener)) }()
	fmt.Println("ready")

	commands := bufio.NewScanner(os.Stdin)
	for turn := 1; commands.Scan(); turn++ {
		serve(entries, nodes, snapshots[turn%len(snapshots)])
	}
}

func serve(entries cache.SnapshotCache, nodes []string, snapshot *cache.Snapshot) {
	for _, node := range nodes {
		if err := entries.SetSnapshot(context.Background(), node, snapshot); err != nil {
			log.Fatal(err)
		}
	}
}

func lines(file string) []string {
	data, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	return strings.Fields(string(data))
}

func read(file, version string) *cache.Snapshot {
	opened, err := os.Open(file)
	if err != nil {
		log.Fatal(err)
	}
	defer opened.Close()
	reader := bufio.NewReader(opened)
	byType := map[resource.Type][]types.Resource{}
	for {
		size, err := binary.ReadUvarint(reader)
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		data := make([]byte, size)
		if _, err := io.ReadFull(reader, data); err != nil {
			log.Fatal(err)
		}
		var one anypb.Any
		if err := proto.Unmarshal(data, &one); err != nil {
			log.Fatal(err)
		}
		message, err := one.UnmarshalNew()
		if err != nil {
			log.Fatal(err)
		}
		byType[one.TypeUrl] = append(byType[one.TypeUrl], message)
	}
	found, err := cache.NewSnapshot(version, byType)
	if err != nil {
		log.Fatal(err)
	}
	return found
}
