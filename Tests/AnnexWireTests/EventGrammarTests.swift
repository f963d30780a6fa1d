import AnnexCore
import AnnexWire
import Testing

@Suite struct EventGrammarTests {
    private func event(_ words: String...) throws -> EventArguments {
        try EventArguments(request(["EVENT", "u", "i"] + words))
    }

    private func refusal(_ words: String...) -> String? {
        do {
            _ = try EventArguments(request(["EVENT", "u", "i"] + words))
            return nil
        } catch { return error.message }
    }

    @Test func wordsInAnyOrder() throws {
        let plain = try self.event()
        #expect(plain.weight == 1 && plain.time == nil && plain.index == nil)
        let full = try self.event("-2.5", "index", "shop", "at", "17")
        #expect(full.weight == -2.5 && full.time == 17 && full.index == 5)
        #expect(try self.event("AT", "0").time == 0)
        #expect(try self.event("AT", "4102444799999").time == 4_102_444_799_999)
        #expect(try self.event("-1e30").weight == -1e30 && self.event("0").weight == 0)
    }

    @Test func whatIsWrong() {
        for word in ["nan", "inf", "1.1e30", "-1.1e30", "x", ""] {
            #expect(self.refusal(word) == "invalid weight '\(word)': give a number from -1e30 to 1e30")
        }
        for word in ["9223372036854775808", "-9223372036854775809", "1.5", "now", "", "+1"] {
            #expect(self.refusal("AT", word) == "invalid AT '\(word)': give whole milliseconds since 1970, in 64 bits")
        }
        // Seconds, microseconds, and the ends of 64 bits: a time in another unit would never count, or for ever.
        for word in [
            "1764448000", "1764448000000000", "4102444800000", "9223372036854775807", "-1", "-9223372036854775808",
        ] {
            #expect(self.refusal("AT", word)?.hasPrefix("invalid AT '\(word)': the time is ") ?? false)
        }
        #expect(self.refusal("1", "AT") == "syntax error near 'AT'")
        #expect(self.refusal("1", "2") == "syntax error near '2'")
        #expect(self.refusal("AT", "1", "AT", "2") == "syntax error near 'AT'")
        #expect(self.refusal("AT", "1", "5") == "syntax error near '5'")
        #expect(self.refusal("INDEX", "a", "INDEX", "b") == "syntax error near 'INDEX'")
    }

    @Test func lists() throws {
        let seen = try SeenArguments(request(["SEEN", "u", "WITHTIMES", "COUNT", "1000000", "INDEX", "x"]))
        #expect(seen.withTimes && seen.count == 1_000_000 && seen.index == 6)
        for count in ["0", "-1", "1000001", "9223372036854775807", "x"] {
            #expect(throws: ArgumentFailure.self) {
                _ = try SeenArguments(request(["SEEN", "u", "COUNT", count]))
            }
        }
        #expect(throws: ArgumentFailure.syntax(request(["x", "WITHTIMES"]), near: 1)) {
            _ = try ExplainArguments(request(["EXPLAIN", "u", "i", "WITHTIMES"]))
        }
        #expect(try ForgetArguments(request(["FORGET", "u", "INDEX", "x"])).index == 3)
        #expect(throws: ArgumentFailure.self) { _ = try ForgetArguments(request(["FORGET", "u", "x"])) }
        #expect(throws: ArgumentFailure.self) {
            _ = try ForgetArguments(request(["FORGET", "u", "INDEX", "x", "y"]))
        }
        #expect(throws: ArgumentFailure.self) {
            _ = try WhyNotArguments(request(["WHYNOT", "u", "i", "5", "WITHSCORES"]))
        }
        #expect(try WhyNotArguments(request(["WHYNOT", "u", "i", "10000", "WITHSEEN"])).options.withSeen)
    }

    @Test func waiting() throws {
        let index = try #require(EntryName("shop"))
        let position = LogPosition(milliseconds: 17, sequence: 3)
        let block = Slot.block(of: request("u").withArgument(0) { Slot.of($0) })
        let token = "\(PositionToken(index: index, block: block, position: position, log: nil))"
        func refusal(_ words: String...) -> String? {
            do throws(ArgumentFailure) {
                _ = try WaitPositionArguments(request(["WAITPOS", "u"] + words))
                return nil
            } catch { return error.message }
        }
        #expect(try WaitPositionArguments(request("WAITPOS", "u", token)).milliseconds == 1_000)
        #expect(try WaitPositionArguments(request("WAITPOS", "u", token, "timeout", "60000")).milliseconds == 60_000)
        #expect(refusal(token, "TIMEOUT") == "syntax error near 'TIMEOUT'")
        #expect(refusal(token, "FANCY", "1") == "syntax error near 'FANCY'")
        #expect(refusal(token, "TIMEOUT", "x", "y") == "syntax error near 'y'")
        #expect(refusal(token, "TIMEOUT", "60001") == "invalid TIMEOUT '60001': give an integer from 0 to 60000")
        #expect(refusal("x") == "'x' is no position: give one as EVENT answers it after CLIENT CAPA position")
        #expect(refusal(token + "x") != nil)
    }
}
