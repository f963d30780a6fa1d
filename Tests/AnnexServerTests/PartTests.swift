import AnnexCore
import AnnexServer
import Testing

@Suite struct PartTests {
    @Test(arguments: [
        ("*", "", true), ("max*", "maxclients", true), ("MAX?lients", "maxclients", true), ("a[b-d]e", "ace", true),
        ("a[^b-d]e", "ace", false), ("\\*", "*", true), ("\\*", "a", false), ("a*b*c", "axxbxxc", true),
        ("a*b*c", "axxbxx", false), ("[a", "a", true), ("", "a", false), ("a", "", false), ("**?", "x", true),
    ])
    func globPatterns(pattern: String, text: String, matches: Bool) {
        #expect(GlobPattern(pattern.utf8).matches(text) == matches)
    }

    @Test func globPatternsAreNotExponential() {
        let pattern = GlobPattern((String(repeating: "*a", count: 200) + "b").utf8)
        #expect(!pattern.matches(String(repeating: "a", count: 2_000)))
    }

    @Test func histogramBucketsCoverTheirValues() {
        var previous = -1
        for value in Array(0..<5_000) + (0..<62).map({ 1 << $0 }) {
            let bucket = LatencyHistogram.bucket(value)
            if value < 1 << 40 { #expect(LatencyHistogram.upperBound(bucket) >= value) }
            if value == previous + 1 { #expect(bucket >= LatencyHistogram.bucket(previous)) }
            previous = value
        }
        var histogram = LatencyHistogram()
        for value in 1...1_000 { histogram.add(value * 1_000) }
        #expect((500_000...532_000).contains(histogram.quantile(0.5)))
        #expect((990_000...1_060_000).contains(histogram.quantile(0.99)))
        #expect(histogram.cumulativeMicroseconds().last?.count == 1_000)
    }

    @Test func slowlogIsBounded() {
        var log = Slowlog(length: 2)
        for id in 0..<5 {
            log.append(.init(id: id, time: 0, microseconds: 1, arguments: [], address: "", name: ""))
        }
        #expect(log.entries.map(\.id) == [3, 4])
        log.length = 0
        #expect(log.entries.isEmpty)
    }

    @Test func passwordsAreComparedByDigest() {
        let hash = PasswordHash(password: "secret")
        #expect(hash.accepts("secret".utf8) && !hash.accepts("secre".utf8) && !hash.accepts("".utf8))
        #expect(hash == PasswordHash(password: "secret") && hash != PasswordHash(password: "other"))
    }
}
