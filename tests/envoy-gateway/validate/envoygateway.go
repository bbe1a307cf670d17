package main

import (
	"github.com/envoyproxy/gateway/api/v1alpha1"
	"github.com/envoyproxy/gateway/api/v1alpha1/validation"
	"sigs.k8s.io/yaml"
)

// checkEnvoyGateway checks Envoy Gateway's own configuration, which is a file and no custom resource: no CRD has its schema.
func checkEnvoyGateway(document []byte) error {
	configuration := v1alpha1.EnvoyGateway{}
	if err := yaml.UnmarshalStrict(document, &configuration); err != nil {
		return err
	}
	return validation.ValidateEnvoyGateway(&configuration)
}
