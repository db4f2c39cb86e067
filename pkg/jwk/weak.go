package jwk

import (
	"crypto/rsa"
	"errors"
	"math/big"
)

// Keys that anyone can factor. Every function that reads or makes a key returns these.
var (
	errROCA   = errors.New("RSA key: the modulus has the pattern of the ROCA weakness (CVE-2017-15361), so anyone can compute the private key: replace the key")
	errFermat = errors.New("RSA key: the two primes are close together, so anyone can compute the private key: replace the key")
)

// checkFactors returns an error if the modulus is one that is known to be easy to factor.
func checkFactors(n *big.Int) error {
	switch {
	case hasROCAPattern(n):
		return errROCA
	case hasClosePrimes(n):
		return errFermat
	}
	return nil
}

// hasROCAPattern reports whether n is one power of 65537 modulo each prime up to 167. That
// is so for each modulus of the faulty library (Nemec et al., "The Return of Coppersmith's
// Attack", section 2.2), and for one other in about 2^150. To test each prime alone, with
// an exponent of its own, would refuse one good key in 2^28.
func hasROCAPattern(n *big.Int) bool {
	exponent, period := int64(0), int64(1) // the exponents that fit the primes so far: exponent + i·period
	for prime := int64(3); prime <= 167; prime += 2 {
		p := big.NewInt(prime)
		if !p.ProbablyPrime(0) {
			continue
		}
		remainder := new(big.Int).Mod(n, p).Int64()
		order := orderOf65537(prime)
		choices := order / new(big.Int).GCD(nil, nil, big.NewInt(order), big.NewInt(period)).Int64()
		for range choices {
			if power65537(exponent%order, prime) == remainder {
				break
			}
			exponent += period
		}
		if power65537(exponent%order, prime) != remainder {
			return false
		}
		period *= choices // at most 2^62, the period of all these primes
	}
	return true
}

// power65537 returns 65537 to the power of exponent, modulo prime.
func power65537(exponent, prime int64) int64 {
	power := int64(1)
	for range exponent {
		power = power * 65537 % prime
	}
	return power
}

// orderOf65537 returns the smallest exponent with which 65537 gives 1, modulo prime.
func orderOf65537(prime int64) int64 {
	order := int64(1)
	for power := 65537 % prime; power != 1; order++ {
		power = power * 65537 % prime
	}
	return order
}

// hasClosePrimes tries the first steps of Fermat's factorization, which suffice for each
// key with close primes that was found in use.
func hasClosePrimes(n *big.Int) bool {
	const steps = 100
	one := big.NewInt(1)
	middle := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(middle, middle).Cmp(n) < 0 {
		middle.Add(middle, one)
	}
	// Each step computes middle² - n, which is a square if middle is half of p + q.
	square := new(big.Int).Mul(middle, middle)
	square.Sub(square, n)
	for range steps {
		if isSquare(square) {
			return true
		}
		square.Add(square, middle).Add(square, middle).Add(square, one)
		middle.Add(middle, one)
	}
	return false
}

func isSquare(x *big.Int) bool {
	// Most numbers that are no squares show it in their last six bits.
	const squaresModulo64 uint64 = 1<<0 | 1<<1 | 1<<4 | 1<<9 | 1<<16 | 1<<17 | 1<<25 | 1<<33 | 1<<36 | 1<<41 | 1<<49 | 1<<57
	if len(x.Bits()) > 0 && squaresModulo64>>(x.Bits()[0]&63)&1 == 0 {
		return false
	}
	root := new(big.Int).Sqrt(x)
	return root.Mul(root, root).Cmp(x) == 0
}

// commonExponent is the usual public exponent. With a smaller one, a mistake in padding
// is easier to attack.
const commonExponent = 65537

// hasSmallExponent reports whether an RSA key has an exponent below the usual one.
func (k PublicKey) hasSmallExponent() bool {
	key, ok := k.material.(*rsa.PublicKey)
	return ok && key.E < commonExponent
}

// testKeys lists keys whose private key everyone can read, by thumbprint, and where.
func testKeys() map[string]string {
	return map[string]string{
		"IsUn6_e04MaShXFIISMp4kG62LWzMIPy_MvSA5pJgX8": "RFC 7515, appendix A.2",
		"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U": "RFC 7515, appendix A.3",
		"u5YUSjQ2-2chBi51NSk3t3g7IM4o2KYcnPqPtCNGd3U": "RFC 7515, appendix A.4",
		"cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s": "RFC 7517, appendix A",
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": "RFC 7517, appendix A",
		"9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI": "RFC 7520, section 3.4",
		"dHri3SADZkrush5HU_50AoRhcKFryN-PI6jPBtPL55M": "RFC 7520, section 3.2",
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": "RFC 8037, appendix A.1",
		"oGDmHqCJ7yzMkWEkrlZVHkvrHIyQwtlDmeq5ForUHeY": "the debugger of jwt.io",
		"19J8y7Zprt2-QKLjF2I5pVk0OELX6cY2AfaAv1LC_w8": "the debugger of jwt.io",
	}
}
