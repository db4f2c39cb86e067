package jwk_test

import (
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/jwksctl/jwksctl/pkg/jwk"
)

// rocaModulus returns a number of 2048 bits that is a power of 65537 modulo each prime up
// to 167, as each modulus of the faulty library is.
func rocaModulus() *big.Int {
	product := big.NewInt(1)
	for p := int64(3); p <= 167; p += 2 {
		if prime := big.NewInt(p); prime.ProbablyPrime(0) {
			product.Mul(product, prime)
		}
	}
	power := new(big.Int).Exp(big.NewInt(65537), big.NewInt(123456789), product)
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	n.Sub(n, new(big.Int).Mod(n, product)).Add(n, product).Add(n, power)
	if n.Bit(0) == 0 {
		n.Add(n, product)
	}
	return n
}

// closePrimes returns the product of two primes next to each other.
func closePrimes(t *testing.T) *big.Int {
	t.Helper()
	text, _ := privateJSON(t, "rsa2048.pem")["p"].(string)
	p := new(big.Int).SetBytes(decode(t, text))
	q := new(big.Int).Add(p, big.NewInt(2))
	for !q.ProbablyPrime(0) {
		q.Add(q, big.NewInt(2))
	}
	return q.Mul(q, p)
}

func TestWeakRSA(t *testing.T) {
	for want, n := range map[string]*big.Int{"ROCA": rocaModulus(), "close together": closePrimes(t)} {
		data := with(t, jwk.RS256, "n", base64.RawURLEncoding.EncodeToString(n.Bytes()))
		if _, err := jwk.Parse(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		wantFinding(t, data, jwk.RuleWeak, want)
	}
	small := with(t, jwk.RS256, "e", "Aw")
	if _, err := jwk.Parse(small); err != nil {
		t.Errorf("e is 3: %v", err)
	}
	wantFinding(t, small, jwk.RuleWeak, "exponent")
}

func TestKnownTestKeys(t *testing.T) {
	for source, key := range map[string]string{
		"RFC 8037": `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		"RFC 7517": `{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`,
		"jwt.io":   `{"kty":"EC","crv":"P-256","x":"EVs_o5-uQbTjL3chynL4wXgUg2R9q9UU8I5mEovUf84","y":"kGe5DgSIycKp8w9aJmoHhB1sB3QTugfnRWm5nU_TzsY"}`,
	} {
		wantFinding(t, []byte(key), jwk.RuleTestKey, source)
	}
}

// TestROCAPatternOfOnePower reads a modulus that is a power of 65537 modulo each small
// prime, but not the same power. One good key in 2^28 is like that.
func TestROCAPatternOfOnePower(t *testing.T) {
	rest, product := big.NewInt(0), big.NewInt(1)
	for p := int64(3); p <= 167; p += 2 {
		prime := big.NewInt(p)
		if !prime.ProbablyPrime(0) {
			continue
		}
		// The Chinese remainder theorem: rest stays the same modulo the earlier primes.
		power := new(big.Int).Exp(big.NewInt(65537), big.NewInt(p%7), prime)
		step := new(big.Int).ModInverse(product, prime)
		step.Mul(step, power.Sub(power, rest)).Mod(step, prime)
		rest.Add(rest, step.Mul(step, product))
		product.Mul(product, prime)
	}
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	n.Sub(n, new(big.Int).Mod(n, product)).Add(n, product).Add(n, rest)
	if n.Bit(0) == 0 {
		n.Add(n, product)
	}
	if _, err := jwk.Parse(with(t, jwk.RS256, "n", base64.RawURLEncoding.EncodeToString(n.Bytes()))); err != nil {
		t.Error(err)
	}
}
