// Command scaler is an external scaler as somebody else writes one, against KEDA's own protocol: for
// tests of ours that call it.
//
//	scaler -listen ADDRESS -control ADDRESS [-certificate FILE -key FILE -clients FILE]
//
// What it measures is said over HTTP: POST /set?value=12.5&target=5&active=true. GET /seen tells, as
// JSON, whom it was last asked about and how many streams are open. It does not implement
// StreamMetricSpec, as no scaler that is older than that call does.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	pb "github.com/kedacore/keda/v2/pkg/scalers/externalscaler"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// metric is the one metric there is.
const metric = "depth"

type scaler struct {
	pb.UnimplementedExternalScalerServer

	mutex   sync.Mutex
	value   float64
	target  float64
	active  bool
	changed chan struct{}
	streams int
	seen    seen
}

// seen is what was asked last.
type seen struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace"`
	Metadata  map[string]string `json:"metadata"`
	Streams   int               `json:"streams"`
}

func (s *scaler) note(object *pb.ScaledObjectRef) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.seen = seen{Name: object.Name, Namespace: object.Namespace, Metadata: object.ScalerMetadata}
}

func (s *scaler) IsActive(_ context.Context, object *pb.ScaledObjectRef) (*pb.IsActiveResponse, error) {
	s.note(object)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return &pb.IsActiveResponse{Result: s.active}, nil
}

func (s *scaler) GetMetricSpec(_ context.Context, object *pb.ScaledObjectRef) (*pb.GetMetricSpecResponse, error) {
	s.note(object)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	spec := &pb.MetricSpec{MetricName: metric, TargetSizeFloat: s.target}
	return &pb.GetMetricSpecResponse{MetricSpecs: []*pb.MetricSpec{spec}}, nil
}

func (s *scaler) GetMetrics(_ context.Context, request *pb.GetMetricsRequest) (*pb.GetMetricsResponse, error) {
	s.note(request.ScaledObjectRef)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	value := &pb.MetricValue{MetricName: request.MetricName, MetricValueFloat: s.value}
	return &pb.GetMetricsResponse{MetricValues: []*pb.MetricValue{value}}, nil
}

func (s *scaler) StreamIsActive(object *pb.ScaledObjectRef, stream pb.ExternalScaler_StreamIsActiveServer) error {
	s.note(object)
	s.mutex.Lock()
	s.streams++
	s.mutex.Unlock()
	defer func() {
		s.mutex.Lock()
		s.streams--
		s.mutex.Unlock()
	}()
	for {
		s.mutex.Lock()
		active, changed := s.active, s.changed
		s.mutex.Unlock()
		if err := stream.Send(&pb.IsActiveResponse{Result: active}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (s *scaler) set(_ http.ResponseWriter, request *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	given := request.URL.Query()
	if number, err := strconv.ParseFloat(given.Get("value"), 64); err == nil {
		s.value = number
	}
	if number, err := strconv.ParseFloat(given.Get("target"), 64); err == nil {
		s.target = number
	}
	if active, err := strconv.ParseBool(given.Get("active")); err == nil {
		s.active = active
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *scaler) tell(writer http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	told := s.seen
	told.Streams = s.streams
	if err := json.NewEncoder(writer).Encode(told); err != nil {
		log.Print(err)
	}
}

// secured makes clients show a certificate of the authority in the file clients.
func secured(certificate, key, clients string) (grpc.ServerOption, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(clients)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
		MinVersion:   tls.VersionTLS12,
	})), nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "where it answers")
	control := flag.String("control", "127.0.0.1:0", "where it is told what to answer")
	certificate := flag.String("certificate", "", "certificate; none: plaintext")
	key := flag.String("key", "", "its key")
	clients := flag.String("clients", "", "authority of clients")
	flag.Parse()

	it := &scaler{target: 1, changed: make(chan struct{})}
	http.HandleFunc("POST /set", it.set)
	http.HandleFunc("GET /seen", it.tell)
	go func() { log.Fatal(http.ListenAndServe(*control, nil)) }()

	var options []grpc.ServerOption
	if *certificate != "" {
		option, err := secured(*certificate, *key, *clients)
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, option)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(options...)
	pb.RegisterExternalScalerServer(server, it)
	log.Fatal(server.Serve(listener))
}
