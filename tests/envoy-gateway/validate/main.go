// Command validate checks Kubernetes resources as strictly as an API server would: unknown fields, the OpenAPI schemas and
// the CEL rules of Envoy Gateway's and Gateway API's CRDs of the pinned version, Kubernetes' own kinds, and for the
// Prometheus Operator's kinds the fields and every PromQL expression.
//
//	validate FILE...
//
// It prints how many resources of each kind were valid, one error a line, and exits 1 if there was one.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing/fstest"

	envoygateway "github.com/envoyproxy/gateway"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/promql/parser"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kubectl-validate/pkg/cmd"
	"sigs.k8s.io/kubectl-validate/pkg/openapiclient"
	"sigs.k8s.io/kubectl-validate/pkg/validator"
	"sigs.k8s.io/yaml"
)

// kubernetesVersion is the newest whose schemas the library has.
const kubernetesVersion = "1.32"

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(files []string, out, complaints io.Writer) error {
	if len(files) == 0 {
		return errors.New("usage: validate FILE...")
	}
	rules, err := newRules()
	if err != nil {
		return err
	}
	valid, failed := map[string]int{}, 0
	for _, file := range files {
		documents, err := documents(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, document := range documents {
			var named metav1.PartialObjectMetadata
			if err := yaml.Unmarshal(document, &named); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if err := rules.check(named.TypeMeta, document); err != nil {
				failed++
				fmt.Fprintf(complaints, "%s: %s %s: %s\n", file, named.Kind, named.Name, strings.ReplaceAll(err.Error(), "\n", " "))
				continue
			}
			valid[named.Kind]++
		}
	}
	kinds := []string{}
	for kind := range valid {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		fmt.Fprintf(out, "%s %d\n", kind, valid[kind])
	}
	if failed > 0 {
		return fmt.Errorf("%d resources are not valid", failed)
	}
	return nil
}

// documents are the YAML documents of a file that say something.
func documents(file string) ([][]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	reader := yamlstream.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var found [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		var content map[string]any
		if err := yaml.UnmarshalStrict(document, &content); err != nil {
			return nil, err
		}
		if len(content) > 0 {
			found = append(found, document)
		}
	}
}

type rules struct {
	schemas *validator.Validator
}

func newRules() (*rules, error) {
	crds := fstest.MapFS{"crds.yaml": &fstest.MapFile{Data: envoygateway.GatewayCRDs, Mode: 0o444}}
	schemas, err := validator.New(openapiclient.NewComposite(
		openapiclient.NewLocalCRDFiles(crds),
		openapiclient.NewHardcodedBuiltins(kubernetesVersion),
	))
	if err != nil {
		return nil, err
	}
	return &rules{schemas: schemas}, nil
}

func (r *rules) check(kind metav1.TypeMeta, document []byte) error {
	switch kind.APIVersion + " " + kind.Kind {
	case "monitoring.coreos.com/v1 ServiceMonitor":
		return yaml.UnmarshalStrict(document, &monitoring.ServiceMonitor{})
	case "monitoring.coreos.com/v1 PodMonitor":
		return yaml.UnmarshalStrict(document, &monitoring.PodMonitor{})
	case "monitoring.coreos.com/v1 PrometheusRule":
		rule := monitoring.PrometheusRule{}
		if err := yaml.UnmarshalStrict(document, &rule); err != nil {
			return err
		}
		return checkExpressions(rule)
	case "gateway.envoyproxy.io/v1alpha1 EnvoyGateway":
		return checkEnvoyGateway(document)
	default:
		return cmd.ValidateDocument(document, r.schemas)
	}
}

func checkExpressions(rule monitoring.PrometheusRule) error {
	for _, group := range rule.Spec.Groups {
		for _, one := range group.Rules {
			if _, err := parser.ParseExpr(one.Expr.String()); err != nil {
				return fmt.Errorf("%s: %w", one.Alert, err)
			}
		}
	}
	return nil
}
