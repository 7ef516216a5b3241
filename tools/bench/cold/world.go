package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"overplane.dev/leads/pkg/apikey"
	"overplane.dev/leads/pkg/dynamo"
	"overplane.dev/leads/pkg/lead"
	"overplane.dev/leads/pkg/localdb"
)

// tableName is that of the table on the engine.
const tableName = "leads"

// A world is what functions meet: a database behind TLS with leads in it, and
// an API key.
type world struct {
	endpoint string // https
	bus      string // https
	shipped  string // file of roots as the package has it, and our CA
	usual    string // file of all roots of this machine, and our CA

	table  *dynamo.Table
	client *dynamodb.Client
	tenant lead.Tenant
	key    string

	engine *localdb.Engine
	doors  []net.Listener
}

// rootsFile is the certificates that the functions' package has.
const rootsFile = "pkg/awsenv/amazon-roots.pem"

func openWorld(ctx context.Context, dir string) (*world, error) {
	e, err := localdb.Start(ctx, localdb.Options{Data: localdb.Memory, Log: os.Stderr})
	if err != nil {
		return nil, err
	}
	w := &world{engine: e, tenant: lead.Tenant{Account: "cold", Mode: lead.Test}}
	if err := w.open(ctx, dir); err != nil {
		e.Stop()
		return nil, err
	}
	return w, nil
}

func (w *world) open(ctx context.Context, dir string) error {
	engine := w.engine.Endpoint()
	w.client = dynamodb.New(dynamodb.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &engine,
		Credentials:  credentials.NewStaticCredentialsProvider("cold", "cold", ""),
	}, dynamo.Configure)
	w.table = dynamo.New(w.client, tableName)
	if err := w.table.CreateTable(ctx); err != nil {
		return err
	}
	key, record := apikey.NewKey(w.tenant, apikey.Read|apikey.Write, time.Now(), time.Time{})
	if err := w.table.CreateKey(ctx, record); err != nil {
		return err
	}
	w.key = key

	chain, ca, err := certify()
	if err != nil {
		return err
	}
	w.shipped, w.usual = filepath.Join(dir, "shipped.pem"), filepath.Join(dir, "usual.pem")
	if err := writeRoots(w.shipped, ca, rootsFile); err != nil {
		return err
	}
	if err := writeRoots(w.usual, ca, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"); err != nil {
		return err
	}
	return w.openDoors(chain)
}

// openDoors puts the engine behind TLS, and beside it a bus that takes all
// events.
func (w *world) openDoors(chain tls.Certificate) error {
	config := &tls.Config{Certificates: []tls.Certificate{chain}}
	database, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		return err
	}
	bus, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		database.Close()
		return err
	}
	w.doors = []net.Listener{database, bus}
	w.endpoint, w.bus = "https://"+database.Addr().String(), "https://"+bus.Addr().String()
	go passOn(database, strings.TrimPrefix(w.engine.Endpoint(), "http://"))
	go http.Serve(bus, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/x-amz-json-1.1")
		io.WriteString(rw, `{"FailedEntryCount":0,"Entries":[{"EventId":"1"}]}`)
	}))
	return nil
}

// passOn connects each connection with an address, until the listener is closed.
// It does no more, because a call's time is to be the database's.
func passOn(from net.Listener, address string) {
	for {
		outer, err := from.Accept()
		if err != nil {
			return
		}
		go func() {
			defer outer.Close()
			inner, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			defer inner.Close()
			go func() {
				io.Copy(inner, outer)
				inner.Close() // ends the other direction
			}()
			io.Copy(outer, inner)
		}()
	}
}

func (w *world) close() {
	for _, door := range w.doors {
		door.Close()
	}
	w.engine.Stop()
}

// certify makes a CA, one below it, and a server's certificate by that one, as
// AWS has them, and returns the server's chain and the CA in PEM.
func certify() (chain tls.Certificate, ca []byte, err error) {
	var parent *x509.Certificate
	var parentKey *rsa.PrivateKey
	for serial, name := range []string{"root", "intermediate", "server"} {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return chain, nil, err
		}
		c := &x509.Certificate{
			SerialNumber:          big.NewInt(int64(serial + 1)),
			Subject:               pkix.Name{CommonName: name},
			NotBefore:             time.Now().Add(-time.Hour),
			NotAfter:              time.Now().Add(24 * time.Hour),
			IsCA:                  name != "server",
			BasicConstraintsValid: true,
			KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}
		if !c.IsCA {
			c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		}
		if parent == nil {
			parent, parentKey = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
		if err != nil {
			return chain, nil, err
		}
		if name == "root" {
			ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
		} else {
			chain.Certificate = append([][]byte{der}, chain.Certificate...)
		}
		if parent, err = x509.ParseCertificate(der); err != nil {
			return chain, nil, err
		}
		parentKey, chain.PrivateKey = key, key
	}
	return chain, ca, nil
}

// writeRoots writes a file of the CA and of the first of the others that there
// is.
func writeRoots(path string, ca []byte, others ...string) error {
	var err error
	for _, other := range others {
		var text []byte
		if text, err = os.ReadFile(other); err == nil {
			return os.WriteFile(path, bytes.Join([][]byte{ca, text}, []byte("\n")), 0o644)
		}
	}
	return err
}
