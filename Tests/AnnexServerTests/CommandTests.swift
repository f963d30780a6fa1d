import AnnexServer
import Testing

@Suite(.serialized) struct CommandTests {
    @Test func authentication() async throws {
        try await withServer({ $0.passwordHash = PasswordHash(password: "secret") }) { port, _ in
            let client = try TestClient(port: port)
            #expect(try client.ask("PING") == "-NOAUTH Authentication required.")
            let wrong = "-WRONGPASS invalid username-password pair or user is disabled."
            #expect(try client.ask("AUTH wrong") == wrong)
            #expect(try client.ask("AUTH other secret") == wrong)
            #expect(try client.ask("HELLO 3 AUTH default wrong") == wrong)
            #expect(try client.ask("HELLO 3").hasPrefix("-NOAUTH "))
            #expect(try client.ask("AUTH secret") == "+OK")
            #expect(try client.ask("PING") == "+PONG")
            #expect(try client.ask("RESET") == "+RESET")
            #expect(try client.ask("PING") == "-NOAUTH Authentication required.")
            #expect(try client.ask("HELLO 3 AUTH default secret") == "%7")
        }
    }

    @Test func authenticationEndsAfterTooManyFailures() async throws {
        try await withServer({
            $0.passwordHash = PasswordHash(password: "secret")
            $0.maximumAuthFailures = 3
        }) { port, _ in
            let client = try TestClient(port: port)
            try client.send("AUTH a\r\nAUTH b\r\nAUTH c\r\nAUTH secret\r\n")
            #expect(try client.rest().split(separator: "\r\n").count == 3)
        }
    }

    @Test func helloChoosesTheProtocol() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            #expect(try client.ask("HELLO 4") == "-NOPROTO unsupported protocol version")
            #expect(try client.ask("HELLO x").hasPrefix("-ERR Protocol version"))
            #expect(try client.ask("HELLO 3 SETNAME me FOO") == "-ERR syntax error near 'FOO'")
            #expect(try client.ask("HELLO") == "*14")
            let other = try TestClient(port: port)
            #expect(try other.ask("HELLO 3 SETNAME me") == "%7")
            let lines = try (0..<25).map { _ in try other.line() }
            #expect(lines.contains("proto") && lines.contains(":3"))
            try other.send("CLIENT GETNAME\r\n")
            #expect(try other.bulk() == "me")
        }
    }

    @Test func unknownCommandsAndArity() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try client.send(TestClient.frame("NO\r\nPE", "a\u{1}b"))
            #expect(
                try client.line()
                    == "-ERR unknown command 'NO\\x0d\\x0aPE', with args beginning with: 'a\\x01b' "
            )
            #expect(try client.ask("GET") == "-ERR unknown command 'GET', with args beginning with: ")
            #expect(try client.ask("ECHO") == "-ERR wrong number of arguments for 'echo' command")
            #expect(try client.ask("CLIENT SETNAME") == "-ERR wrong number of arguments for 'client|setname' command")
            #expect(try client.ask("CLIENT NOPE") == "-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.")
            #expect(try client.ask("SELECT 1") == "-ERR DB index is out of range")
            #expect(try client.ask("SELECT 0") == "+OK")
        }
    }

    @Test func clientsAreListedAndKilled() async throws {
        try await withServer { port, _ in
            let clients = try (0..<4).map { _ in try TestClient(port: port) }
            for (index, client) in clients.enumerated() {
                #expect(try client.ask("CLIENT SETNAME c\(index)") == "+OK")
            }
            try clients[0].send("CLIENT LIST\r\n")
            let list = try clients[0].bulk()
            #expect(list.split(separator: "\n").count { $0.contains("name=c") } == 4)
            let id = try clients[1].ask("CLIENT ID").dropFirst()
            #expect(try clients[0].ask("CLIENT KILL ID \(id)") == ":1")
            #expect(try clients[1].rest() == "")
            #expect(try clients[0].ask("CLIENT KILL SKIPME yes") == ":2")
            #expect(try clients[3].rest() == "")
            #expect(try clients[0].ask("CLIENT KILL 1.2.3.4:5") == "-ERR No such client")
            #expect(try clients[0].ask("CLIENT KILL SKIPME no") == ":1")
            #expect(try clients[0].rest() == "")
        }
    }

    @Test func repliesCanBeTurnedOff() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try client.send("CLIENT REPLY SKIP\r\nPING\r\nECHO a\r\nCLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\n")
            #expect(try client.read(12) == "$1\r\na\r\n+OK\r\n")
        }
    }

    @Test func configuration() async throws {
        try await withServer { port, _ in
            let client = try TestClient(port: port)
            try client.send("CONFIG GET save\r\nCONFIG GET appendonly\r\n")
            let expected = "*2\r\n$4\r\nsave\r\n$0\r\n\r\n*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"
            #expect(try client.read(expected.utf8.count) == expected)
            #expect(
                try client.ask("CONFIG SET slowlog-log-slower-than 0 timeout x").hasPrefix("-ERR CONFIG SET failed")
            )
            #expect(try client.ask("CONFIG SET port 1").contains("only be set when the server starts"))
            #expect(try client.ask("CONFIG SET nope 1").hasPrefix("-ERR Unknown option"))
            #expect(try client.ask("CONFIG GET slowlog-log*") == "*2")
            #expect(try client.line() == "$23")
            _ = try client.line()
            #expect(try client.line() == "$5")
            #expect(try client.line() == "10000")
        }
    }

    @Test func slowCommandsAreLogged() async throws {
        try await withServer({ $0.passwordHash = PasswordHash(password: "secret") }) { port, _ in
            let client = try TestClient(port: port)
            #expect(try client.ask("AUTH secret") == "+OK")
            #expect(try client.ask("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3") == "+OK")
            #expect(try client.ask("CLIENT SETNAME me") == "+OK")
            for _ in 0..<5 { #expect(try client.ask("AUTH secret") == "+OK") }
            #expect(try client.ask("SLOWLOG LEN") == ":3")
            try client.send("SLOWLOG GET\r\nCONFIG SET slowlog-log-slower-than -1\r\nPING END\r\n")
            var lines: [String] = []
            while lines.last != "END" { lines.append(try client.line()) }
            #expect(lines.contains("me") && !lines.contains("secret"))
            #expect(try client.ask("SLOWLOG RESET") == "+OK")
            #expect(try client.ask("SLOWLOG LEN") == ":0")
        }
    }

    @Test func infoCountsOverLoops() async throws {
        try await withServer { port, _ in
            let clients = try (0..<4).map { _ in try TestClient(port: port) }
            for client in clients { #expect(try client.ask("ECHO") != "") }
            for client in clients { #expect(try client.ask("PING") == "+PONG") }
            try clients[0].send("INFO everything\r\n")
            let text = try clients[0].bulk()
            for part in [
                "# Server\r\n", "connected_clients:4\r\n", "# Memory\r\n", "# Indexes\r\nindexes:1\r\n",
                "cmdstat_ping:calls=4,", "rejected_calls=4,failed_calls=0", "errorstat_ERR:count=4\r\n",
                "latency_percentiles_usec_ping:p50=", "redis_mode:standalone\r\n",
            ] { #expect(text.contains(part), "\(part)") }
            #expect(try clients[0].ask("CONFIG RESETSTAT") == "+OK")
            try clients[1].send("INFO commandstats\r\n")
            #expect(try !clients[1].bulk().contains("cmdstat_ping"))
            #expect(try clients[2].ask("LATENCY LATEST") == "*0")
        }
    }
}
