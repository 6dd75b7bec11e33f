-- Answers the time.
return answer(int(t))
